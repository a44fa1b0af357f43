// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"cmp"
	"math"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// progresses checks the condition Progressing to the letter.
func (s *stage) progresses(status corev1.ConditionStatus, reason, message string) {
	s.t.Helper()
	c := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing)
	require.Equal(s.t, []string{string(status), reason, message}, []string{string(c.Status), c.Reason, c.Message})
}

func (s *stage) isAvailable() {
	s.t.Helper()
	s.progresses(corev1.ConditionTrue, "CloneSetAvailable", "CloneSet is available")
}

func (s *stage) isProgressing() {
	s.t.Helper()
	s.progresses(corev1.ConditionTrue, "CloneSetUpdated", "CloneSet is progressing")
}

func (s *stage) isPaused() {
	s.t.Helper()
	s.progresses(corev1.ConditionTrue, "CloneSetPaused", "CloneSet is paused")
}

func (s *stage) isAtPartition() {
	s.t.Helper()
	s.progresses(corev1.ConditionTrue, "ProgressPartitionAvailable", "CloneSet has been paused due to partition ready")
}

func (s *stage) isExceeded(revision string) {
	s.t.Helper()
	s.progresses(corev1.ConditionFalse, "ProgressDeadlineExceeded", "CloneSet revision "+revision+" has timed out progressing")
}

// updateRevision is the one that the status names.
func (s *stage) updateRevision() string { return s.controller.set.Status.UpdateRevision }

// publishedStories are those expectations of the published suite in which minutes pass, and what it says of the condition Progressing.
func publishedStories() map[string]story {
	two := func() *builder { return MakeCloneSet("web").Replicas(2).InPlaceIfPossible().MaxUnavailable("1") }
	return map[string]story{
		"the published deadline runs from the beginning of the work, and that of Stalled from the last Pod that got on": {
			set: two().Replicas(3).MinReadySeconds(6).Deadline(10).Obj(), play: takesLonger,
		},
		"a set that has rested for an hour has all of its deadline for what comes next": {
			set: two().Replicas(4).Deadline(10).Obj(), play: restsForLong,
		},
		"without a deadline there is no condition Progressing": {
			set: two().Deadline(math.MaxInt32).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1, and the deadline that means none")
				assert.Empty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing).Type)
				s.User("sets the deadline to 600", func(b *builder) { b.Deadline(600) })
				s.Rest()
				s.isAvailable()
				s.User("takes it away", func(b *builder) { b.set.Spec.ProgressDeadlineSeconds = nil })
				s.Rest()
				assert.Empty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing).Type)
			},
		},
		"a Pod whose preNormal hook nobody sets is ready and counts not, and the deadline passes": {
			set: MakeCloneSet("web").Deadline(11).Lifecycle(pub.Lifecycle{PreNormal: &pub.LifecycleHook{FinalizersHandler: []string{"example.com/in"}}}).Obj(),
			play: func(s *stage) {
				s.Quieten()
				s.isProgressing()
				assert.EqualValues(s.t, 1, s.controller.set.Status.ReadyReplicas)
				assert.Equal(s.t, "PreparingNormal", s.Pod("web-a").Labels[pub.LifecycleStateKey])
				s.Rest()
				s.isExceeded(s.updateRevision())
				s.Script.Scene("the hook is set")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Finalizers = []string{"example.com/in"} })
				s.Rest()
				assert.Equal(s.t, "Normal", s.Pod("web-a").Labels[pub.LifecycleStateKey])
				s.isAvailable()
				s.Script.Scene("it is not looked at again")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Finalizers = nil })
				s.Rest()
				assert.Equal(s.t, "Normal", s.Pod("web-a").Labels[pub.LifecycleStateKey])
				s.isAvailable()
			},
		},
		"with a limit on scaling of one each Pod is created when the one before is available": {
			set: MakeCloneSet("web").Replicas(4).MinReadySeconds(10).Deadline(600).Obj(), play: createsOneByOne,
		},
		"a set that is created paused has its Pods and says that it is paused": {
			set: MakeCloneSet("web").Replicas(3).MinReadySeconds(60).Deadline(600).Obj(),
			play: func(s *stage) {
				s.User("pauses it before anything has happened", func(b *builder) { b.rolling().Paused = true })
				s.Quieten()
				s.isPaused()
				assert.EqualValues(s.t, 3, s.controller.set.Status.ReadyReplicas)
				assert.EqualValues(s.t, 0, s.controller.set.Status.AvailableReplicas)
			},
		},
		"a hook holds the one Pod of a partition beyond the deadline, and the set scales": {
			set: two().MaxUnavailable("50%").Partition("99%").Deadline(120).Lifecycle(pub.Lifecycle{InPlaceUpdate: drain()}).WithHook(drain()).Obj(), play: waitsForItsHook,
		},
		"OnDelete says that it progresses until the last Pod is deleted": {
			set: MakeCloneSet("web").Replicas(5).MinReadySeconds(10).Deadline(600).Obj(), play: updatesWhenDeleted,
		},
		"scaling in reaches the partition": {
			set: two().Replicas(5).Partition("3").Deadline(600).Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				for s.controller.set.Status.UpdatedAvailableReplicas == 0 || s.controller.set.Status.UpdatedReplicas < 2 {
					s.Reconcile()
					s.takeAny()
				}
				s.isProgressing()
				s.User("scales in to 4", func(b *builder) { b.Replicas(4) })
				s.Reconcile()
				s.isAtPartition()
				s.Rest()
				s.isAtPartition()
			},
		},
	}
}

func takesLonger(s *stage) {
	s.Given("three Pods of app:v1 that must be ready for six seconds")
	s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
	s.Quieten()
	begun := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing)
	for range 2 {
		s.isProgressing()
		s.Pause(seconds(6))
		s.Quieten()
	}
	s.isExceeded(s.updateRevision())
	exceeded := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing)
	assert.Equal(s.t, seconds(12), exceeded.LastUpdateTime.Sub(begun.LastUpdateTime.Time))
	assert.Equal(s.t, seconds(12), exceeded.LastTransitionTime.Sub(begun.LastUpdateTime.Time))
	assert.Equal(s.t, corev1.ConditionTrue, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionReconciling).Status, "it gets on")
	s.User("scales to 4: it stays exceeded", func(b *builder) { b.Replicas(4) })
	s.Quieten()
	assert.Equal(s.t, exceeded, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing))
	s.Rest()
	s.isAvailable()
}

func restsForLong(s *stage) {
	s.Given("four Pods of app:v1")
	rest := func() {
		s.Rest()
		s.Script.Scene("an hour passes")
		s.Pause(seconds(3600))
		s.Rest()
	}
	rest()
	s.isAvailable()
	available := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing)
	s.User("sets the image to app:v2, for two Pods", func(b *builder) { b.Image("app:v2").Partition("2") })
	s.Reconcile()
	s.isProgressing()
	began := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing)
	assert.Equal(s.t, s.Now, began.LastUpdateTime.Time, "the time begins anew")
	assert.Equal(s.t, available.LastTransitionTime, began.LastTransitionTime, "the status has not changed")
	rest()
	s.isAtPartition()
	s.User("lowers the partition to 1", func(b *builder) { b.Partition("1") })
	s.Reconcile()
	s.isProgressing()
	rest()
	s.isAtPartition()
	s.User("pauses and lowers the partition to 0", func(b *builder) { b.Partition("0").rolling().Paused = true })
	rest()
	s.isPaused()
	s.User("resumes", func(b *builder) { b.rolling().Paused = false })
	s.Reconcile()
	s.isProgressing()
	rest()
	s.isAvailable()
	s.User("scales to 5", func(b *builder) { b.Replicas(5) })
	s.Reconcile()
	s.isProgressing()
	s.Rest()
	s.isAvailable()
}

func createsOneByOne(s *stage) {
	s.User("limits scaling before anything has happened", func(b *builder) { b.set.Spec.ScaleStrategy.MaxUnavailable = numberOrPart("1") })
	s.Quieten()
	s.isProgressing()
	s.Rest()
	s.isAvailable()
	pods := s.Pods()
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.CreationTimestamp.Unix(), b.CreationTimestamp.Unix()) })
	require.Len(s.t, pods, 4)
	for i, pod := range pods[1:] {
		for _, c := range pods[i].Status.Conditions {
			if c.Type == corev1.PodReady {
				assert.Equal(s.t, seconds(10), pod.CreationTimestamp.Sub(c.LastTransitionTime.Time))
			}
		}
	}
}

func waitsForItsHook(s *stage) {
	release := func(pod *corev1.Pod) { setHook(pod, drain(), false) }
	s.controller.policy.PreparingUpdateAsUpdate = true
	s.Given("two Pods of app:v1 with their hooks")
	old := s.updateRevision()
	s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
	s.Quieten()
	s.isProgressing()
	held, other := "web-a", "web-b"
	if s.Pod(held).Labels[pub.LifecycleStateKey] != "PreparingUpdate" {
		held, other = other, held
	}
	assert.Equal(s.t, "PreparingUpdate", s.Pod(held).Labels[pub.LifecycleStateKey])
	assert.EqualValues(s.t, 0, s.controller.set.Status.UpdatedReplicas)
	s.Script.Scene("somebody deletes the other Pod")
	s.Edit(other, release)
	s.DeletePod(other)
	s.Rest()
	s.isExceeded(s.updateRevision())
	s.User("scales to 3", func(b *builder) { b.Replicas(3) })
	s.Quieten()
	for _, pod := range s.Pods() {
		assert.Equal(s.t, old, pod.Labels["controller-revision-hash"], "%s is old", pod.Name)
	}
	s.Script.Scene("the hook lets go of %s", held)
	s.Edit(held, release)
	s.Quieten()
	assert.EqualValues(s.t, 1, s.controller.set.Status.UpdatedReplicas)
	s.isExceeded(s.updateRevision())
	s.User("lets all be updated at once", func(b *builder) { b.Partition("0").MaxUnavailable("100%") })
	s.Quieten()
	for _, pod := range s.Pods() {
		if pod.Name != held {
			assert.Equal(s.t, "PreparingUpdate", pod.Labels[pub.LifecycleStateKey])
			s.Edit(pod.Name, release)
		}
	}
	s.Script.Scene("the hook lets go of them")
	s.Quieten()
	assert.EqualValues(s.t, 3, s.controller.set.Status.UpdatedReplicas)
	s.isExceeded(s.updateRevision())
}

func updatesWhenDeleted(s *stage) {
	s.Given("five Pods of app:v1")
	s.User("sets the type to OnDelete, without rollingUpdate, and the image to app:v2", func(b *builder) {
		b.Image("app:v2").set.Spec.UpdateStrategy = kruisev1beta1.CloneSetUpdateStrategy{Type: kruisev1beta1.OnDeleteCloneSetUpdateStrategyType}
	})
	s.Quieten()
	s.isProgressing()
	status := func() kruisev1beta1.CloneSetStatus { return s.controller.set.Status }
	assert.EqualValues(s.t, []int32{5, 0, 5}, []int32{status().Replicas, status().UpdatedReplicas, status().ExpectedUpdatedReplicas})
	remove := func(names ...string) {
		s.Script.Scene("somebody deletes %v", names)
		for _, name := range names {
			s.DeletePod(name)
		}
		s.Quieten()
		s.Pause(seconds(10))
		s.Quieten()
	}
	remove("web-a", "web-b")
	s.isProgressing()
	assert.EqualValues(s.t, 2, status().UpdatedAvailableReplicas)
	s.User("scales to 3", func(b *builder) { b.Replicas(3) })
	s.Quieten()
	assert.EqualValues(s.t, []int32{3, 2}, []int32{status().ReadyReplicas, status().UpdatedAvailableReplicas})
	s.User("scales to 5", func(b *builder) { b.Replicas(5) })
	s.Quieten()
	s.Pause(seconds(10))
	s.Quieten()
	assert.EqualValues(s.t, 4, status().UpdatedAvailableReplicas)
	for _, pod := range s.Pods() {
		if pod.Spec.Containers[0].Image == "app:v1" {
			remove(pod.Name)
		}
	}
	s.Quieten()
	assert.EqualValues(s.t, 5, status().UpdatedAvailableReplicas)
	s.isAvailable()
}
