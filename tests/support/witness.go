// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// Witness watches the Pods of a selector from outside, as a load balancer would, and remembers the worst it saw, and every state that a Pod was in.
type Witness struct {
	Chronicle[corev1.Pod]
	mutex sync.Mutex
	ready map[string]bool
	// least and most are the fewest ready Pods, and the most Pods, seen at any moment.
	least, most int
}

// Watch begins to watch. It returns when it has seen all Pods that are there.
func (s *Suite) Watch(selector string) *Witness {
	s.Helper()
	client, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	require.NoError(s, err)
	options := func(o *metav1.ListOptions) { o.LabelSelector = selector }
	list := cache.NewFilteredListWatchFromClient(client.CoreV1().RESTClient(), "pods", s.Namespace, options)
	pods, err := list.ListWithContext(s.Context(), metav1.ListOptions{})
	require.NoError(s, err)
	w := &Witness{Chronicle: Chronicle[corev1.Pod]{suite: s}, ready: map[string]bool{}}
	podList := pods.(*corev1.PodList)
	for i := range podList.Items {
		w.add(podList.Items[i])
		w.ready[podList.Items[i].Name] = IsReady(podList.Items[i])
	}
	w.least, w.most = w.count(), len(w.ready)
	events, err := watchtools.NewRetryWatcherWithContext(s.Context(), podList.ResourceVersion, list)
	require.NoError(s, err)
	s.Cleanup(events.Stop)
	go follow(s.Context(), events.ResultChan(), func(event watch.Event) {
		if pod, isPod := event.Object.(*corev1.Pod); isPod {
			w.see(event.Type, pod)
		}
	})
	return w
}

// follow hands on events until there are no more.
func follow(ctx context.Context, events <-chan watch.Event, see func(watch.Event)) {
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-events:
			if !open {
				return
			}
			see(event)
		}
	}
}

func (w *Witness) see(kind watch.EventType, pod *corev1.Pod) {
	w.add(*pod)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if kind == watch.Deleted || pod.DeletionTimestamp != nil {
		delete(w.ready, pod.Name)
	} else {
		w.ready[pod.Name] = IsReady(*pod)
	}
	w.least, w.most = min(w.least, w.count()), max(w.most, len(w.ready))
}

func (w *Witness) count() int {
	n := 0
	for _, ready := range w.ready {
		if ready {
			n++
		}
	}
	return n
}

// Least is the fewest ready Pods that were seen at any moment.
func (w *Witness) Least() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.least
}

// Most is the most Pods that were seen at any moment, those about to go not counted.
func (w *Witness) Most() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.most
}

// WatchSet records every state of a CloneSet from now on.
func (s *Suite) WatchSet(name string) *Chronicle[*kruisev1beta1.CloneSet] {
	s.Helper()
	client, err := dynamic.NewForConfig(s.Resources.GetConfig())
	require.NoError(s, err)
	sets := client.Resource(kruisev1beta1.GroupVersion.WithResource("clonesets")).Namespace(s.Namespace)
	list := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.FieldSelector = "metadata.name=" + name
		return sets.Watch(ctx, o)
	}}
	now := s.CloneSet(name)
	c := &Chronicle[*kruisev1beta1.CloneSet]{suite: s}
	c.add(now)
	events, err := watchtools.NewRetryWatcherWithContext(s.Context(), now.ResourceVersion, list)
	require.NoError(s, err)
	s.Cleanup(events.Stop)
	go follow(s.Context(), events.ResultChan(), func(event watch.Event) {
		set := &kruisev1beta1.CloneSet{}
		object, isObject := event.Object.(*unstructured.Unstructured)
		if isObject && runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, set) == nil {
			c.add(set)
		}
	})
	return c
}

// Chronicle holds every state of what is watched, in the order of the API server. What lasts a moment only is found in it all the same.
type Chronicle[T any] struct {
	suite  *Suite
	mutex  sync.Mutex
	states []T
}

func (c *Chronicle[T]) add(state T) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.states = append(c.states, state)
}

// Saw waits until there has been a state, and returns it as it was then; what says in words what is looked for.
func (c *Chronicle[T]) Saw(what string, is func(T) bool) (found T) {
	c.suite.Helper()
	c.suite.Eventually("it is seen that "+what, func() bool {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		i := slices.IndexFunc(c.states, is)
		if i >= 0 {
			found = c.states[i]
		}
		return i >= 0
	})
	return found
}

// IsReady says that a Pod's condition Ready is True.
func IsReady(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// countEvents counts the events of a reason about an object, in both APIs that events are written to.
func (s *Suite) countEvents(name, reason, text string) int {
	s.Helper()
	n := 0
	var list eventsv1.EventList
	require.NoError(s, s.retried(func(ctx context.Context) error { return s.Resources.WithNamespace(s.Namespace).List(ctx, &list) }))
	for _, e := range list.Items {
		if e.Regarding.Name == name && e.Reason == reason && strings.Contains(e.Note, text) {
			n++
		}
	}
	return n
}

// JSON encodes a value that always encodes.
func JSON(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// SortedKeys are the keys of a map in their order.
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
