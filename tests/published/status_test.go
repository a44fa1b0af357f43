// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package published_test

import (
	"cmp"
	"math"
	"slices"
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

func TestASetBecomesAvailable(t *testing.T) {
	set := support.MakeCloneSet("web").Replicas(3).Deadline(600).Obj()
	set.Spec.UpdateStrategy = kruisev1beta1.CloneSetUpdateStrategy{}
	inBothVersions(t, set, func(t *testing.T, s *support.Suite) {
		rolling := s.CloneSet("web").Spec.UpdateStrategy.RollingUpdate
		require.NotNil(t, rolling, "the defaults are visible")
		assert.Equal(t, "20%", rolling.MaxUnavailable.String())
		assert.Equal(t, kruisev1beta1.RecreatePodUpdatePolicyType, rolling.PodUpdatePolicy)
		old := &kruisev1alpha1.CloneSet{}
		require.NoError(t, s.Resources.Get(t.Context(), "web", s.Namespace, old))
		assert.Equal(t, "20%", old.Spec.UpdateStrategy.MaxUnavailable.String())
		assert.EqualValues(t, "ReCreate", old.Spec.UpdateStrategy.Type)

		counts(s, "three Pods are there", func(status kruisev1beta1.CloneSetStatus) bool { return status.Replicas == 3 })
		set := becomes(s, available())
		status := set.Status
		assert.Equal(t, []int32{3, 3, 3, 3, 3, 3, 3}, []int32{
			status.Replicas, status.ReadyReplicas, status.AvailableReplicas, status.UpdatedReplicas, status.UpdatedReadyReplicas,
			status.UpdatedAvailableReplicas, status.ExpectedUpdatedReplicas,
		})
		assert.Equal(t, set.Generation, status.ObservedGeneration)
		assert.Equal(t, status.CurrentRevision, status.UpdateRevision)
		require.NotNil(t, status.CollisionCount)
		assert.Zero(t, *status.CollisionCount)
	})
}

func TestAPortOfTheHostIsThatOfTheContainer(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(1).Obj()
	set.Spec.Template.Spec.HostNetwork = true
	main := &set.Spec.Template.Spec.Containers[0]
	main.Env = []corev1.EnvVar{{Name: "PORT", Value: "18437"}}
	main.Ports = []corev1.ContainerPort{{ContainerPort: 18437}}
	s.Create(set)
	s.WaitReady("web")
	assert.EqualValues(t, 18437, only(s).Spec.Containers[0].Ports[0].HostPort)
}

func TestAPreNormalHookIsSetAfterTheDeadline(t *testing.T) {
	const finalizer = "example.com/taken-in"
	set := support.MakeCloneSet("web").Replicas(1).Deadline(11).Lifecycle(pub.Lifecycle{PreNormal: &pub.LifecycleHook{FinalizersHandler: []string{finalizer}}}).Obj()
	inBothVersions(t, set, func(t *testing.T, s *support.Suite) {
		s.Eventually("the Pod is ready", func() bool { return support.IsReady(only(s)) })
		assert.Equal(t, "PreparingNormal", state(only(s)))
		counts(s, "a ready Pod counts as ready", func(status kruisev1beta1.CloneSetStatus) bool {
			return status.ReadyReplicas == 1 && status.UpdatedReadyReplicas == 1 && status.AvailableReplicas == 0
		})
		becomes(s, exceeded(s.CloneSet("web").Status.UpdateRevision))
		s.Patch(&corev1.Pod{}, only(s).Name, `{"metadata":{"finalizers":["`+finalizer+`"]}}`)
		s.Eventually("the Pod is Normal", func() bool { return state(only(s)) == "Normal" })
		s.Patch(&corev1.Pod{}, only(s).Name, `{"metadata":{"finalizers":null}}`)
		becomes(s, available())
		assert.Equal(t, "Normal", state(only(s)))
	})
}

func TestASchedulerThatIsNotThere(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(1).Deadline(8).Policy(kruisev1beta1.RecreatePodUpdatePolicyType).Obj()
	set.Spec.Template.Spec.SchedulerName = "nobody"
	s.Create(set)
	first := only(s)
	becomes(s, exceeded(s.CloneSet("web").Status.UpdateRevision))
	assert.Equal(t, corev1.PodPending, only(s).Status.Phase)
	assert.Equal(t, "PreparingNormal", state(only(s)))
	patch(s, `{"template":{"spec":{"schedulerName":null}}}`)
	becomes(s, available())
	pod := only(s)
	assert.NotEqual(t, first.Name, pod.Name)
	assert.Equal(t, "Normal", state(pod))
	assert.True(t, support.IsReady(pod))
}

func TestADeadlineComesAndGoes(t *testing.T) {
	set := support.MakeCloneSet("web").Replicas(1).Deadline(math.MaxInt32).Obj()
	inBothVersions(t, set, func(t *testing.T, s *support.Suite) {
		set := s.WaitReady("web")
		assert.EqualValues(t, math.MaxInt32, *set.Spec.ProgressDeadlineSeconds, "it is kept")
		assert.Empty(t, progressOf(set))
		patch(s, `{"progressDeadlineSeconds":600}`)
		becomes(s, available())
		patch(s, `{"progressDeadlineSeconds":null}`)
		becomes(s, progress{})
	})
	t.Run("with as large a minReadySeconds", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(1).Deadline(math.MaxInt32).MinReadySeconds(math.MaxInt32).Obj())
		counts(s, "the Pod is ready", func(status kruisev1beta1.CloneSetStatus) bool { return status.ReadyReplicas == 1 })
		assert.Empty(t, progressOf(s.CloneSet("web")))
	})
}

func TestPodsAreCreatedOneAfterTheOther(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(3).MinReadySeconds(4).Deadline(600).Obj()
	set.Spec.ScaleStrategy.MaxUnavailable = new(support.Number(1))
	s.Create(set)
	becomes(s, progressing())
	becomes(s, available())
	var pods []corev1.Pod
	for _, pod := range s.Pods(web) {
		pods = append(pods, pod)
	}
	require.Len(t, pods, 3)
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return cmp.Compare(a.CreationTimestamp.Unix(), b.CreationTimestamp.Unix()) })
	for i, pod := range pods[1:] {
		for _, c := range pods[i].Status.Conditions {
			if c.Type == corev1.PodReady {
				assert.GreaterOrEqual(t, pod.CreationTimestamp.Sub(c.LastTransitionTime.Time), 4*time.Second, "%s waits for the one before", pod.Name)
			}
		}
	}
}

func TestASetIsCreatedPaused(t *testing.T) {
	set := support.MakeCloneSet("web").Replicas(3).MinReadySeconds(60).Deadline(600).Paused().Obj()
	inBothVersions(t, set, func(_ *testing.T, s *support.Suite) {
		s.WaitFor("web", "three Pods are ready, and it is paused", func(set *kruisev1beta1.CloneSet) bool {
			return set.Status.Replicas == 3 && set.Status.ReadyReplicas == 3 && progressOf(set) == paused()
		})
	})
}

func TestAPartitionOfNinetyNinePercent(t *testing.T) {
	set := support.MakeCloneSet("web").Replicas(4).Partition("99%").MaxUnavailable("50%").Deadline(600).Obj()
	inBothVersions(t, set, func(t *testing.T, s *support.Suite) {
		becomes(s, available())
		s.SetImage("web", support.ImageV2)
		status := becomes(s, atPartition()).Status
		assert.EqualValues(t, []int32{1, 1}, []int32{status.UpdatedReplicas, status.ExpectedUpdatedReplicas})
		s.Never("another Pod is updated", 3*time.Second, func() bool { return s.CloneSet("web").Status.UpdatedReplicas != 1 })
	})
}

func TestOnDelete(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(5).MinReadySeconds(3).Deadline(600).Obj()
	set.Spec.UpdateStrategy = kruisev1beta1.CloneSetUpdateStrategy{Type: kruisev1beta1.OnDeleteCloneSetUpdateStrategyType}
	s.Create(set)
	becomes(s, available())
	old := support.SortedKeys(s.Pods(web))
	s.SetImage("web", support.ImageV2)
	becomes(s, progressing())
	status := s.CloneSet("web").Status
	assert.EqualValues(t, []int32{5, 0, 5}, []int32{status.Replicas, status.UpdatedReplicas, status.ExpectedUpdatedReplicas})
	assert.Nil(t, s.CloneSet("web").Spec.UpdateStrategy.RollingUpdate)
	updated := func(n int32) {
		counts(s, "updated Pods are available", func(status kruisev1beta1.CloneSetStatus) bool { return status.UpdatedAvailableReplicas == n })
	}
	remove(s, old[:2]...)
	updated(2)
	patch(s, `{"replicas":3}`)
	counts(s, "three Pods are ready, two of them updated", func(status kruisev1beta1.CloneSetStatus) bool {
		return status.Replicas == 3 && status.ReadyReplicas == 3 && status.UpdatedAvailableReplicas == 2
	})
	patch(s, `{"replicas":5}`)
	updated(4)
	assert.Equal(t, progressing(), progressOf(s.CloneSet("web")))
	for _, name := range old[2:] {
		if _, there := s.Pods(web)[name]; there {
			remove(s, name)
		}
	}
	updated(5)
	becomes(s, available())
}

// remove deletes Pods, as somebody does.
func remove(s *support.Suite, names ...string) {
	s.Helper()
	for _, name := range names {
		require.NoError(s, s.Resources.Delete(s.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}}))
	}
}
