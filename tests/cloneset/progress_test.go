// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// progresses says that the condition Progressing gives a reason.
func progresses(status corev1.ConditionStatus, reason string) func(*kruisev1beta1.CloneSet) bool {
	return func(set *kruisev1beta1.CloneSet) bool {
		c := support.Condition(set, kruisev1beta1.CloneSetConditionProgressing)
		return c != nil && c.Status == status && c.Reason == reason
	}
}

func isStalled(set *kruisev1beta1.CloneSet) bool {
	c := support.Condition(set, kruisev1beta1.CloneSetConditionStalled)
	return c != nil && c.Status == corev1.ConditionTrue
}

func TestARolloutTellsHowFarItIsAndStallsAtItsDeadline(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(4).MaxUnavailable("1").Partition("1").Deadline(60).Obj())
	s.WaitReady("web")
	assert.True(t, progresses(corev1.ConditionTrue, "CloneSetAvailable")(s.CloneSet("web")))
	s.SetImage("web", support.ImageMissing)
	// The kubelet tells now of the image, now of its own back-off, by turns.
	line := regexp.MustCompile(`^batch 1/3: 1 of 3 updated, 1 kept by the partition, 3 available, waiting for web-\w{5} \((ImagePullBackOff|ErrImagePull|CrashLoopBackOff.*)\)$`)
	tells := func(set *kruisev1beta1.CloneSet) bool { return line.MatchString(readyMessage(set)) }
	set := s.WaitFor("web", "Ready says it in one line", tells)
	assert.True(t, progresses(corev1.ConditionTrue, "CloneSetUpdated")(set))
	assert.False(t, isStalled(set))
	s.WaitFor("web", "the deadline passes", isStalled)
	s.WaitFor("web", "and the published condition says so", progresses(corev1.ConditionFalse, "ProgressDeadlineExceeded"))
	s.WaitFor("web", "the line stays", func(set *kruisev1beta1.CloneSet) bool { return tells(set) && isStalled(set) })

	s.SetImage("web", support.ImageV2)
	set = s.WaitFor("web", "a good image comes as far as the partition", progresses(corev1.ConditionTrue, "ProgressPartitionAvailable"))
	assert.False(t, isStalled(set))
	set = s.WaitReady("web")
	assert.Equal(t, "batch 3/3: 3 of 3 updated, 1 kept by the partition, 4 available, the partition is reached", readyMessage(set))

	rolling(s, "web", `{"partition":0,"paused":true}`)
	set = s.WaitFor("web", "it is paused", progresses(corev1.ConditionTrue, "CloneSetPaused"))
	assert.Equal(t, "batch 3/4: 3 of 4 updated, 4 available, the update is paused", readyMessage(set))
	rolling(s, "web", `{"paused":false}`)
	set = s.WaitFor("web", "all are updated", support.IsUpdated(4))
	assert.True(t, progresses(corev1.ConditionTrue, "CloneSetAvailable")(set))
	assert.Equal(t, "4 of 4 updated, 4 available", readyMessage(set))
}

func TestAHookThatNobodyServesStallsTheRolloutUntilSomebodyDoes(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).Deadline(5).Hooked(drain(false)).Lifecycle(pub.Lifecycle{InPlaceUpdate: drain(false)}).Obj())
	s.WaitReady("web")
	s.SetImage("web", support.ImageV2)
	pod := awaitState(s, pub.LifecycleStatePreparingUpdate, true)
	set := s.WaitFor("web", "the deadline passes", isStalled)
	assert.Contains(t, readyMessage(set), "waiting for "+pod.Name+" (inPlaceUpdate hook: finalizer "+drainFinalizer+" is set)")
	letGo(s, pod.Name)
	awaitState(s, pub.LifecycleStateUpdated, true)
	s.WaitFor("web", "it goes on, and waits to be taken in", func(set *kruisev1beta1.CloneSet) bool {
		return !isStalled(set) && strings.Contains(readyMessage(set), pod.Name+" (inPlaceUpdate hook: ")
	})
	takeIn(s, pod.Name)
	s.WaitFor("web", "it is updated", support.IsUpdated(1))
	assert.True(t, progresses(corev1.ConditionTrue, "CloneSetAvailable")(s.CloneSet("web")))
}

func TestANamedPodGoesBeforeOneThatCostsLess(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).Obj())
	s.WaitReady("web")
	names := support.SortedKeys(s.Pods(web))
	s.Patch(&corev1.Pod{}, names[0], `{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"-10"}}}`)
	s.CatchUp(web)
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"replicas":2,"scaleStrategy":{"podsToDelete":["`+names[2]+`"]}}}`)
	s.WaitFor("web", "two are left", isAvailable(2))
	assert.Equal(t, names[:2], support.SortedKeys(s.Pods(web)))
	replicas(s, "1")
	s.WaitFor("web", "one is left", isAvailable(1))
	assert.Equal(t, names[1:2], support.SortedKeys(s.Pods(web)), "then the one that costs least goes")
}

func TestANamedPodThatCountsIsReplacedWhenItsHookLetsItGo(t *testing.T) {
	s := beginHooked(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Hooked(drain(false)).Lifecycle(pub.Lifecycle{PreDelete: drain(false)}).Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	names := support.SortedKeys(before)
	name := func(list string) {
		s.Helper()
		s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"scaleStrategy":{"podsToDelete":`+list+`}}}`)
	}
	name(`["` + names[0] + `"]`)
	assert.Equal(t, names[0], awaitState(s, pub.LifecycleStatePreparingDelete, true).Name)
	name(`[]`)
	s.WaitReady("web")
	support.RequireSamePods(t, before, s.Pods(web))

	s.Patch(&corev1.Pod{}, names[1], `{"metadata":{"labels":{"apps.kruise.io/specified-delete":"true"}}}`)
	assert.Equal(t, names[1], awaitState(s, pub.LifecycleStatePreparingDelete, true).Name)
	s.WaitFor("web", "Ready names the hook", func(set *kruisev1beta1.CloneSet) bool {
		return strings.Contains(readyMessage(set), "waiting for "+names[1]+" (preDelete hook: ")
	})
	s.Never("another takes its place", 3*time.Second, func() bool { return len(s.Pods(web)) != 2 })
	letGo(s, names[1])
	s.WaitFor("web", "another takes its place", isAvailable(2))
	assert.NotContains(t, s.Pods(web), names[1])
	assert.Contains(t, s.Pods(web), names[0])
}
