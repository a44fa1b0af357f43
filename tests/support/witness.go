// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
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
	list  *cache.ListWatch
	mutex sync.Mutex
	// pods are those that are not about to go, as they were seen last.
	pods map[string]corev1.Pod
	// least and most are the fewest ready Pods, and the most Pods, seen at any moment.
	least, most int
	// newest is the version of the last state that was seen, and looks is how often the witness had to look at all Pods, because it missed what happened.
	newest string
	looks  int
}

// Watch begins to watch. It returns when it has seen all Pods that are there.
func (s *Suite) Watch(selector string) *Witness {
	s.Helper()
	client, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	require.NoError(s, err)
	options := func(o *metav1.ListOptions) { o.LabelSelector = selector }
	w := &Witness{
		Chronicle: Chronicle[corev1.Pod]{suite: s}, list: cache.NewFilteredListWatchFromClient(client.CoreV1().RESTClient(), "pods", s.Namespace, options), least: math.MaxInt,
	}
	version, err := w.look(s.Context())
	require.NoError(s, err)
	go lookOn(s.Context(), w.list, version, w.look, func(event watch.Event) {
		if pod, isPod := event.Object.(*corev1.Pod); isPod {
			w.see(event.Type, pod)
		}
	})
	return w
}

// lookOn hands on all events after a version until the context ends. An API server that has restarted may not know the latest past: then it looks at what there is, which
// tells the version to go on from.
func lookOn(ctx context.Context, list cache.WatcherWithContext, version string, look func(context.Context) (string, error), see func(watch.Event)) {
	for ctx.Err() == nil {
		if events, err := watchtools.NewRetryWatcherWithContext(ctx, version, list); err == nil {
			for event := range events.ResultChan() {
				see(event)
			}
			events.Stop()
		}
		time.Sleep(100 * time.Millisecond)
		if now, err := look(ctx); err == nil {
			version = now
		}
	}
}

// now is the list of all Pods.
func (w *Witness) now(ctx context.Context) (*corev1.PodList, error) {
	list, err := w.list.ListWithContext(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.(*corev1.PodList), nil
}

// look takes in all Pods that there are, and tells the version of the list.
func (w *Witness) look(ctx context.Context) (string, error) {
	list, err := w.now(ctx)
	if err != nil {
		return "", err
	}
	for i := range list.Items {
		w.add(list.Items[i])
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.looks++
	w.pods = map[string]corev1.Pod{}
	for i := range list.Items {
		w.take(&list.Items[i], false)
	}
	w.judge()
	return list.ResourceVersion, nil
}

func (w *Witness) see(kind watch.EventType, pod *corev1.Pod) {
	w.add(*pod)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.take(pod, kind == watch.Deleted)
	w.judge()
}

// take notes the state of a Pod. One that is about to go serves no more.
func (w *Witness) take(pod *corev1.Pod, isGone bool) {
	if isGone || pod.DeletionTimestamp != nil {
		delete(w.pods, pod.Name)
	} else {
		w.pods[pod.Name] = *pod
	}
	if isAfter(pod.ResourceVersion, w.newest) {
		w.newest = pod.ResourceVersion
	}
}

// isAfter says that a version is newer than another; the empty one is older than all.
func isAfter(version, other string) bool {
	if version == "" || other == "" {
		return version != ""
	}
	order, err := resourceversion.CompareResourceVersion(version, other)
	return err == nil && order > 0
}

func (w *Witness) judge() {
	n := 0
	for _, pod := range w.pods {
		if IsReady(pod) {
			n++
		}
	}
	w.least, w.most = min(w.least, n), max(w.most, len(w.pods))
}

// catchUp waits until the witness has seen all that there is now.
func (w *Witness) catchUp() {
	w.suite.Helper()
	var list *corev1.PodList
	require.NoError(w.suite, w.suite.retried(func(ctx context.Context) (err error) {
		list, err = w.now(ctx)
		return err
	}))
	w.suite.Eventually("the witness has seen all that there is", func() bool { return w.hasSeen(list) })
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.looks > 1 {
		w.suite.Logf("the witness missed what happened, and looked at all Pods anew, %d times", w.looks-1)
	}
}

// hasSeen reports whether the Pods of a list, and the end of all that were gone by then, were seen.
func (w *Witness) hasSeen(list *corev1.PodList) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	known := map[string]bool{}
	for _, pod := range list.Items {
		if known[pod.Name] = true; isAfter(pod.ResourceVersion, w.newest) {
			return false
		}
	}
	for name, pod := range w.pods {
		if isNew := isAfter(pod.ResourceVersion, list.ResourceVersion); !known[name] && !isNew {
			return false
		}
	}
	return true
}

// Least is the fewest ready Pods that were seen at any moment.
func (w *Witness) Least() int {
	w.suite.Helper()
	w.catchUp()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.least
}

// Most is the most Pods that were seen at any moment, those about to go not counted.
func (w *Witness) Most() int {
	w.suite.Helper()
	w.catchUp()
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
	c := &Chronicle[*kruisev1beta1.CloneSet]{suite: s}
	look := func(ctx context.Context) (string, error) {
		now := &kruisev1beta1.CloneSet{}
		if err := s.Resources.Get(ctx, name, s.Namespace, now); err != nil {
			return "", err
		}
		c.add(now)
		return now.ResourceVersion, nil
	}
	version, err := look(s.Context())
	require.NoError(s, err)
	go lookOn(s.Context(), list, version, look, func(event watch.Event) {
		set := &kruisev1beta1.CloneSet{}
		object, isObject := event.Object.(*unstructured.Unstructured)
		if isObject && object.GetKind() == "CloneSet" && runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, set) == nil {
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

// CountEvents counts how often an event of a reason was told of an object, in both APIs that events are written to; text must be in its message.
func (s *Suite) CountEvents(name, reason, text string) int {
	s.Helper()
	n := 0
	var list eventsv1.EventList
	require.NoError(s, s.retried(func(ctx context.Context) error { return s.Resources.WithNamespace(s.Namespace).List(ctx, &list) }))
	for _, e := range list.Items {
		if e.Regarding.Name != name || e.Reason != reason || !strings.Contains(e.Note, text) {
			continue
		}
		if n++; e.Series != nil {
			n += int(e.Series.Count) - 1
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
