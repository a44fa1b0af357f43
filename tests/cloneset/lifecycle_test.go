// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

const (
	drainLabel     = "drain"
	drainFinalizer = "example.com/drain"
)

// drain is a hook of a label and a finalizer. The tests play its owner.
func drain(markPodNotReady bool) *pub.LifecycleHook {
	return &pub.LifecycleHook{
		LabelsHandler: map[string]string{drainLabel: "me"}, FinalizersHandler: []string{drainFinalizer}, MarkPodNotReady: markPodNotReady,
	}
}

// beginHooked begins a test whose Pods may have finalizers: none of them keeps the namespace when the test ends.
func beginHooked(t *testing.T) *support.Suite {
	t.Helper()
	s := support.Begin(t)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		ctx := context.Background()
		_ = s.Resources.Delete(ctx, &kruisev1beta1.CloneSet{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "web"}})
		for range 20 {
			var list corev1.PodList
			if s.Resources.WithNamespace(s.Namespace).List(ctx, &list) != nil || len(list.Items) == 0 {
				return
			}
			for i := range list.Items {
				list.Items[i].Finalizers = nil
				_ = s.Resources.Update(ctx, &list.Items[i])
			}
			time.Sleep(500 * time.Millisecond)
		}
	})
	return s
}

// letGo removes the hook from a Pod, as its owner does when it is done.
func letGo(s *support.Suite, pod string) {
	s.Helper()
	s.Patch(&corev1.Pod{}, pod, `{"metadata":{"finalizers":null,"labels":{"drain":null}}}`)
}

// takeIn sets the hook on a Pod, as its owner does when it has taken it in again.
func takeIn(s *support.Suite, pod string) {
	s.Helper()
	s.Patch(&corev1.Pod{}, pod, `{"metadata":{"finalizers":["example.com/drain"],"labels":{"drain":"me"}}}`)
}

func stateOf(pod corev1.Pod) pub.LifecycleStateType {
	return pub.LifecycleStateType(pod.Labels[pub.LifecycleStateKey])
}

// awaitState waits until exactly one Pod is in a state, and returns it.
func awaitState(s *support.Suite, state pub.LifecycleStateType, isReady bool) corev1.Pod {
	s.Helper()
	var found corev1.Pod
	s.Eventually("one Pod is "+string(state), func() bool {
		n := 0
		for _, pod := range s.Pods(web) {
			if stateOf(pod) == state {
				found = pod
				n++
			}
		}
		return n == 1 && support.IsReady(found) == isReady
	})
	return found
}

func readyMessage(set *kruisev1beta1.CloneSet) string {
	if c := support.Condition(set, kruisev1beta1.CloneSetConditionReady); c != nil {
		return c.Message
	}
	return ""
}

func kruiseReady(pod corev1.Pod) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == pub.KruisePodReady {
			return c
		}
	}
	return corev1.PodCondition{}
}

func TestAHookIsAskedBeforeAnUpdateAndTakesThePodIn(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Hooked(drain(true)).Lifecycle(pub.Lifecycle{InPlaceUpdate: drain(true)}).Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	s.SetImage("web", support.ImageV2)
	for range before {
		pod := awaitState(s, pub.LifecycleStatePreparingUpdate, false)
		assert.Equal(t, support.ImageV1, image(pod, "main"), "nothing changes while the hook holds it")
		assert.Equal(t, corev1.ConditionFalse, kruiseReady(pod).Status)
		assert.JSONEq(t, `[{"userAgent":"Lifecycle","key":"preUpdateHook"}]`, kruiseReady(pod).Message)
		s.WaitFor("web", "Ready names the hook", func(set *kruisev1beta1.CloneSet) bool {
			return strings.Contains(readyMessage(set), pod.Name+" (inPlaceUpdate hook: finalizer example.com/drain is set)")
		})
		letGo(s, pod.Name)
		pod = awaitState(s, pub.LifecycleStateUpdated, true)
		assert.Equal(t, support.ImageV2, image(pod, "main"))
		assert.Equal(t, corev1.ConditionTrue, kruiseReady(pod).Status)
		takeIn(s, pod.Name)
	}
	s.WaitFor("web", "both are updated", support.IsUpdated(2))
	support.RequireSamePods(t, before, s.Pods(web))
}

func TestTheNextUpdateAsksAgainForAPodThatIsNotTakenIn(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).Hooked(drain(false)).Lifecycle(pub.Lifecycle{InPlaceUpdate: drain(false)}).Obj())
	s.WaitReady("web")
	s.SetImage("web", support.ImageV2)
	letGo(s, awaitState(s, pub.LifecycleStatePreparingUpdate, true).Name)
	awaitState(s, pub.LifecycleStateUpdated, true)
	s.SetImage("web", support.ImageV3)
	pod := awaitState(s, pub.LifecycleStatePreparingUpdate, true)
	assert.Equal(t, "me", pod.Labels[drainLabel])
	assert.Contains(t, pod.Finalizers, drainFinalizer)
	letGo(s, pod.Name)
	takeIn(s, awaitState(s, pub.LifecycleStateUpdated, true).Name)
	s.WaitFor("web", "it is updated", support.IsUpdated(1))
	assert.Equal(t, support.ImageV3, image(s.Pods(web)[pod.Name], "main"))
}

func TestAPartitionThatIsRaisedCallsAPreparedPodBack(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Hooked(drain(true)).Lifecycle(pub.Lifecycle{InPlaceUpdate: drain(true)}).Obj())
	s.WaitReady("web")
	s.SetImage("web", support.ImageV2)
	awaitState(s, pub.LifecycleStatePreparingUpdate, false)
	rolling(s, "web", `{"partition":2}`)
	s.WaitFor("web", "both serve", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.AvailableReplicas == 2 && set.Status.UpdatedReplicas == 0
	})
}

func TestAPreNormalHookTakesNewPodsIn(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).Lifecycle(pub.Lifecycle{PreNormal: drain(false)}).Obj())
	pod := awaitState(s, pub.LifecycleStatePreparingNormal, true)
	set := s.WaitFor("web", "it is ready and does not count", func(set *kruisev1beta1.CloneSet) bool {
		return strings.Contains(readyMessage(set), "preNormal hook")
	})
	assert.Zero(t, set.Status.AvailableReplicas)
	takeIn(s, pod.Name)
	s.WaitReady("web")
}

func TestAPreDeleteHookHoldsAPodNotReadyUntilItLetsGo(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Hooked(drain(true)).Lifecycle(pub.Lifecycle{PreDelete: drain(true)}).Obj())
	s.WaitReady("web")
	replicas(s, "1")
	pod := awaitState(s, pub.LifecycleStatePreparingDelete, false)
	assert.JSONEq(t, `[{"userAgent":"Lifecycle","key":"preDeleteHook"}]`, kruiseReady(pod).Message)
	replicas(s, "2")
	s.Never("it comes back, or another comes", 3*time.Second, func() bool {
		pods := s.Pods(web)
		return len(pods) != 2 || stateOf(pods[pod.Name]) != pub.LifecycleStatePreparingDelete
	})
	letGo(s, pod.Name)
	s.WaitFor("web", "another takes its place", isAvailable(2))
	assert.NotContains(t, s.Pods(web), pod.Name)
}

func TestAPlannedDeletionIsTakenBack(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Hooked(drain(false)).Lifecycle(pub.Lifecycle{PreDelete: drain(false)}).Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	replicas(s, "1")
	awaitState(s, pub.LifecycleStatePreparingDelete, true)
	replicas(s, "2")
	s.WaitReady("web")
	support.RequireSamePods(t, before, s.Pods(web))
}

func TestANamedPodThatDoesNotCountIsReplacedAtOnce(t *testing.T) {
	for name, set := range map[string]func(*support.Suite){
		"by the field": func(s *support.Suite) {
			s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"scaleStrategy":{"excludePreparingDelete":true}}}`)
		},
		"by the label of the old version": func(s *support.Suite) {
			s.Patch(&kruisev1alpha1.CloneSet{}, "web", `{"metadata":{"labels":{"apps.kruise.io/cloneset-scaling-exclude-preparing-delete":"true"}}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := beginHooked(t)
			s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Hooked(drain(false)).Lifecycle(pub.Lifecycle{PreDelete: drain(false)}).Obj())
			s.WaitReady("web")
			set(s)
			victim := support.SortedKeys(s.Pods(web))[0]
			s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"scaleStrategy":{"podsToDelete":["`+victim+`"]}}}`)
			s.WaitFor("web", "another is there", func(set *kruisev1beta1.CloneSet) bool {
				return set.Status.Replicas == 3 && set.Status.AvailableReplicas == 2
			})
			assert.Equal(t, pub.LifecycleStatePreparingDelete, stateOf(s.Pods(web)[victim]))
			letGo(s, victim)
			s.WaitFor("web", "the named one is gone", isAvailable(2))
			require.False(t, slices.Contains(support.SortedKeys(s.Pods(web)), victim))
			assert.Equal(t, []string{victim}, s.CloneSet("web").Spec.ScaleStrategy.PodsToDelete, "what the user wrote stays as it is")
		})
	}
}

func TestALimitOnScalingIsToldOnce(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(4).Obj()
	one := support.Number(1)
	set.Spec.ScaleStrategy.MaxUnavailable = &one
	s.Create(set)
	statuses := s.WatchSet("web")
	statuses.Saw("the limit is told", func(set *kruisev1beta1.CloneSet) bool {
		return support.Condition(set, kruisev1beta1.CloneSetConditionScaleUpLimited) != nil
	})
	set = s.WaitReady("web")
	assert.Nil(t, support.Condition(set, kruisev1beta1.CloneSetConditionScaleUpLimited), "it holds no longer")
	s.AwaitEvent("web", "ScaleUpLimited", "scaleUp is limited because of scaleStrategy.maxUnavailable, limit: 1")
	assert.Equal(t, 1, s.CountEvents("web", "ScaleUpLimited", ""), "it is told once")
}
