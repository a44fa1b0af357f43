// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// Patience is how long a wait may take before a test fails. It bounds a hang; no test passes or fails by speed.
const Patience = 3 * time.Minute

// Suite is one test's view of the cluster: a namespace of its own.
type Suite struct {
	*testing.T
	// Namespace is removed when the test ends, unless it failed.
	Namespace string
	// Resources reaches the whole cluster.
	Resources *resources.Resources
	begun     time.Time
}

// Begin gives a test its namespace. Tests that begin so run in parallel.
func Begin(t *testing.T) *Suite {
	t.Helper()
	t.Parallel()
	return BeginAlone(t)
}

// BeginAlone is Begin for a test that must not run beside others. One that breaks things declares it by Disrupt first.
func BeginAlone(t *testing.T) *Suite {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", os.Getenv(KubeconfigEnv))
	require.NoError(t, err)
	cfg.QPS, cfg.Burst = -1, -1
	r, err := resources.New(cfg)
	require.NoError(t, err)
	s := &Suite{T: t, Namespace: "test-" + rand.String(6), Resources: r, begun: time.Now()}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}}
	require.NoError(t, r.Create(t.Context(), namespace))
	t.Cleanup(func() {
		if !t.Failed() {
			_ = r.Delete(context.Background(), namespace)
			return
		}
		var text strings.Builder
		s.tellAll(&text)
		t.Log(text.String())
	})
	return s
}

// Create creates objects in the test's namespace.
func (s *Suite) Create(objects ...k8s.Object) {
	s.Helper()
	for _, o := range objects {
		o.SetNamespace(s.Namespace)
		require.NoError(s, s.Resources.Create(s.Context(), o))
	}
}

// CloneSet reads a CloneSet.
func (s *Suite) CloneSet(name string) *kruisev1beta1.CloneSet {
	s.Helper()
	set := &kruisev1beta1.CloneSet{}
	require.NoError(s, s.retried(func(ctx context.Context) error { return s.Resources.Get(ctx, name, s.Namespace, set) }))
	return set
}

// retried makes a call again while the API server is away.
func (s *Suite) retried(call func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(s.Context(), 300*time.Millisecond, Patience, true, func(ctx context.Context) (bool, error) {
		last = call(ctx)
		return last == nil || apierrors.IsNotFound(last) || apierrors.IsInvalid(last) || apierrors.IsForbidden(last), nil
	})
	if last != nil {
		return last
	}
	return err
}

// Patch merges JSON into an object, as kubectl patch --type=merge does.
func (s *Suite) Patch(object k8s.Object, name, patch string) {
	s.Helper()
	object.SetName(name)
	object.SetNamespace(s.Namespace)
	require.NoError(s, s.retried(func(ctx context.Context) error {
		return s.Resources.Patch(ctx, object, k8s.Patch{PatchType: types.MergePatchType, Data: []byte(patch)})
	}))
}

// Pods lists the Pods that a selector matches and that are not about to go, by name.
func (s *Suite) Pods(selector string) map[string]corev1.Pod {
	s.Helper()
	var list corev1.PodList
	require.NoError(s, s.retried(func(ctx context.Context) error {
		return s.Resources.WithNamespace(s.Namespace).List(ctx, &list, resources.WithLabelSelector(selector))
	}))
	pods := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods[pod.Name] = pod
		}
	}
	return pods
}

// Get asks the server in a Pod, by way of the API server.
func (s *Suite) Get(pod, port, path string) []byte {
	s.Helper()
	client, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	require.NoError(s, err)
	var body []byte
	require.NoError(s, s.retried(func(ctx context.Context) error {
		body, err = client.CoreV1().Pods(s.Namespace).ProxyGet("http", pod, port, path, nil).DoRaw(ctx)
		return err
	}))
	return body
}

// Eventually waits until a condition holds; what says in words what is waited for.
func (s *Suite) Eventually(what string, condition func() bool) {
	s.Helper()
	deadline := time.Now().Add(Patience)
	for !condition() {
		if time.Now().After(deadline) {
			require.FailNow(s, "waited in vain", "%s, in namespace %s", what, s.Namespace)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Never watches for a while that a condition does not come to hold.
func (s *Suite) Never(what string, window time.Duration, condition func() bool) {
	s.Helper()
	for end := time.Now().Add(window); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if condition() {
			require.FailNow(s, "this must not happen", "%s, in namespace %s", what, s.Namespace)
		}
	}
}

// WaitFor waits until a CloneSet's status, seen at its newest generation, satisfies a condition.
func (s *Suite) WaitFor(name, what string, condition func(*kruisev1beta1.CloneSet) bool) *kruisev1beta1.CloneSet {
	s.Helper()
	var last atomic.Pointer[kruisev1beta1.CloneSet]
	deadline := time.Now().Add(Patience)
	for time.Now().Before(deadline) {
		set := s.CloneSet(name)
		last.Store(set)
		if set.Status.ObservedGeneration >= set.Generation && condition(set) {
			return set
		}
		time.Sleep(200 * time.Millisecond)
	}
	require.FailNow(s, "waited in vain", "%s: %s, in namespace %s: status %+v", name, what, s.Namespace, last.Load().Status)
	return nil
}

// WaitReady waits until a CloneSet's Ready condition is True.
func (s *Suite) WaitReady(name string) *kruisev1beta1.CloneSet {
	s.Helper()
	return s.WaitFor(name, "Ready", func(set *kruisev1beta1.CloneSet) bool {
		c := Condition(set, kruisev1beta1.CloneSetConditionReady)
		return c != nil && c.Status == corev1.ConditionTrue
	})
}

// Condition finds a condition of a CloneSet, or nil.
func Condition(set *kruisev1beta1.CloneSet, kind kruisev1beta1.CloneSetConditionType) *kruisev1beta1.CloneSetCondition {
	for i := range set.Status.Conditions {
		if set.Status.Conditions[i].Type == kind {
			return &set.Status.Conditions[i]
		}
	}
	return nil
}

// HasEvent says that an event of a reason was told of an object; text must be in its message.
func (s *Suite) HasEvent(name, reason, text string) bool {
	s.Helper()
	return s.CountEvents(name, reason, text) > 0
}

// AwaitEvent waits for an event of a reason about an object; text must be in its message. Events are written after what they tell of.
func (s *Suite) AwaitEvent(name, reason, text string) {
	s.Helper()
	s.Eventually(fmt.Sprintf("an event %s %q is told of %s", reason, text, name), func() bool { return s.HasEvent(name, reason, text) })
}

// CatchUp waits until the controllers have seen all that was written to Pods so far. They watch Pods in the order of the API server, and mend a broken annotation of a Pod: when
// they have done so, they know what was written before it.
func (s *Suite) CatchUp(selector string) {
	s.Helper()
	name := s.breakOne(selector)
	s.Eventually("the controllers have mended a Pod", func() bool {
		pod, found := s.Pods(selector)[name]
		if !found {
			// It is gone, and nobody knows whether they saw it broken.
			name = s.breakOne(selector)
			return false
		}
		return pod.Annotations[pub.InPlaceUpdateGraceKey] != "{"
	})
}

// breakOne breaks an annotation of a Pod that serves, and returns its name.
func (s *Suite) breakOne(selector string) string {
	s.Helper()
	var names []string
	s.Eventually("a Pod serves", func() bool {
		pods := s.Pods(selector)
		names = slices.DeleteFunc(SortedKeys(pods), func(name string) bool { return !IsReady(pods[name]) })
		return len(names) > 0
	})
	s.Patch(&corev1.Pod{}, names[0], `{"metadata":{"annotations":{"`+pub.InPlaceUpdateGraceKey+`":"{"}}}`)
	return names[0]
}

// Settle waits until nobody has written to Pods for some seconds, and the controllers have seen all of it: what they do next meets no conflict.
func (s *Suite) Settle(selector string) {
	s.Helper()
	s.CatchUp(selector)
	versions, since := "", time.Now()
	s.Eventually("nobody writes to Pods any more", func() bool {
		now := ""
		pods := s.Pods(selector)
		for _, name := range SortedKeys(pods) {
			now += pods[name].ResourceVersion + " "
		}
		if now != versions {
			versions, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
}

// Scale writes the scale subresource, as kubectl scale and autoscalers do.
func (s *Suite) Scale(object k8s.Object, replicas int) {
	s.Helper()
	patch := k8s.Patch{PatchType: types.MergePatchType, Data: fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)}
	require.NoError(s, s.Resources.PatchSubresource(s.Context(), object, "scale", patch))
}

// IsGone says that an object is not there any more.
func (s *Suite) IsGone(object k8s.Object) bool {
	s.Helper()
	return apierrors.IsNotFound(s.Resources.Get(s.Context(), object.GetName(), object.GetNamespace(), object))
}

// SetImage changes the image of the first container, as kubectl set image does.
func (s *Suite) SetImage(name, image string) {
	s.Helper()
	containers := s.CloneSet(name).Spec.Template.Spec.Containers
	containers[0].Image = image
	s.Patch(&kruisev1beta1.CloneSet{}, name, `{"spec":{"template":{"spec":{"containers":`+JSON(containers)+`}}}}`)
}
