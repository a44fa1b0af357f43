// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package published_test is what users of the published suite expect of a CloneSet, literal texts included, in both versions where they differ. It runs on the overlay
// that switches all gates on, as the published tests do. What they wait for in minutes is told with a moved clock, in controllers/cloneset. Others are where their
// subject is:
//
//	expectation                                                       test
//	Pods, then ready, then CloneSetAvailable; visible defaults        TestASetBecomesAvailable
//	a port of the host                                                TestAPortOfTheHostIsThatOfTheContainer
//	a preNormal hook that is set late; it is not looked at again      TestAPreNormalHookIsSetAfterTheDeadline
//	a Pod that no scheduler knows, until the name is cleared          TestASchedulerThatIsNotThere
//	the deadline that means none, another, and none                   TestADeadlineComesAndGoes
//	scaleStrategy.maxUnavailable with minReadySeconds                 TestPodsAreCreatedOneAfterTheOther; to the second: controllers/cloneset, story_published_test.go
//	a set that is created paused                                      TestASetIsCreatedPaused
//	a preDelete hook; Pods that do not count while it holds them      TestAPreDeleteHookHoldsAPod, TestAPodThatDoesNotCountIsReplacedAtOnce
//	another tag of the same image                                     tests/cloneset, TestTheSameImageUnderAnotherNameIsNotWaitedForInVain
//	an image and a label in the environment; observedGeneration       TestAnImageAndALabelChangeTogether
//	two images in launch order                                        TestTheSecondContainerStopsWhenTheFirstIsReady
//	an image and an annotation in launch order                        tests/cloneset, TestContainersOfAPodAreUpdatedInLaunchOrder
//	a first container that crashes                                    TestAFirstContainerThatCrashesHoldsTheSecondBack
//	an annotation that was changed on Pods before                     TestAnAnnotationThatPodsHaveAlready
//	a partition of 99%                                                TestAPartitionOfNinetyNinePercent
//	claims that are reused, and that are not                          TestAllPodsAreDeletedAndTheirClaimsReused, TestAllPodsAreDeletedWithTheirClaims
//	an inPlaceUpdate hook beyond the deadline                         controllers/cloneset, story_published_test.go; tests/counting, TestAPodThatWaitsForItsHookCountsAsUpdated
//	claim templates that change                                       TestClaimTemplatesChange
//	another QoS class                                                 tests/resize, TestAnotherQoSClassNeedsNewPods
//	OnDelete                                                          TestOnDelete
//	resources with an image, an environment, both                     TestResourcesChangeWithARestart
//	resources that no node has                                        tests/resize, TestAResizeThatNoNodeCanMakeIsTold
package published_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "all") }

const web = "app=web"

// progress is what the condition Progressing says, times aside.
type progress struct {
	status          corev1.ConditionStatus
	reason, message string
}

func available() progress {
	return progress{corev1.ConditionTrue, "CloneSetAvailable", "CloneSet is available"}
}

func progressing() progress {
	return progress{corev1.ConditionTrue, "CloneSetUpdated", "CloneSet is progressing"}
}

func paused() progress {
	return progress{corev1.ConditionTrue, "CloneSetPaused", "CloneSet is paused"}
}

func atPartition() progress {
	return progress{corev1.ConditionTrue, "ProgressPartitionAvailable", "CloneSet has been paused due to partition ready"}
}

func exceeded(revision string) progress {
	return progress{corev1.ConditionFalse, "ProgressDeadlineExceeded", "CloneSet revision " + revision + " has timed out progressing"}
}

// progressOf is empty for a set without the condition.
func progressOf(set *kruisev1beta1.CloneSet) progress {
	if c := support.Condition(set, kruisev1beta1.CloneSetConditionProgressing); c != nil {
		return progress{c.Status, c.Reason, c.Message}
	}
	return progress{}
}

func says(want progress) func(*kruisev1beta1.CloneSet) bool {
	return func(set *kruisev1beta1.CloneSet) bool { return progressOf(set) == want }
}

// becomes waits until the condition Progressing says what is wanted.
func becomes(s *support.Suite, want progress) *kruisev1beta1.CloneSet {
	s.Helper()
	return s.WaitFor("web", "Progressing is "+want.reason, says(want))
}

// counts waits until fields of the status have values.
func counts(s *support.Suite, what string, holds func(kruisev1beta1.CloneSetStatus) bool) {
	s.Helper()
	s.WaitFor("web", what, func(set *kruisev1beta1.CloneSet) bool { return holds(set.Status) })
}

// patch changes the spec of the set.
func patch(s *support.Suite, spec string) {
	s.Helper()
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":`+spec+`}`)
}

// only is the one Pod that there is.
func only(s *support.Suite) corev1.Pod {
	s.Helper()
	var found corev1.Pod
	s.Eventually("there is one Pod", func() bool {
		pods := s.Pods(web)
		for _, pod := range pods {
			found = pod
		}
		return len(pods) == 1
	})
	return found
}

func state(pod corev1.Pod) string { return pod.Labels["lifecycle.apps.kruise.io/state"] }

// statusOf is what is said of a container; it must be there.
func statusOf(s *support.Suite, pod corev1.Pod, container string) corev1.ContainerStatus {
	s.Helper()
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == container {
			return status
		}
	}
	require.FailNow(s, "no such container", "%s in %s", container, pod.Name)
	return corev1.ContainerStatus{}
}

// requireSame says that Pods were kept.
func requireSame(t *testing.T, before, after map[string]corev1.Pod) {
	t.Helper()
	require.Len(t, after, len(before))
	for name := range before {
		assert.Equal(t, before[name].UID, after[name].UID, name)
	}
}

// inBothVersions creates the same set as v1beta1 and as v1alpha1, each in a namespace of its own.
func inBothVersions(t *testing.T, set *kruisev1beta1.CloneSet, run func(*testing.T, *support.Suite)) {
	t.Helper()
	t.Run("v1beta1", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(set.DeepCopy())
		run(t, s)
	})
	t.Run("v1alpha1", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(older(set))
		run(t, s)
	})
}

// older is a set as the old version says it.
func older(set *kruisev1beta1.CloneSet) *kruisev1alpha1.CloneSet {
	set = set.DeepCopy()
	old := &kruisev1alpha1.CloneSet{ObjectMeta: set.ObjectMeta, Spec: kruisev1alpha1.CloneSetSpec{
		Replicas: set.Spec.Replicas, Selector: set.Spec.Selector, Template: set.Spec.Template, VolumeClaimTemplates: set.Spec.VolumeClaimTemplates,
		MinReadySeconds: set.Spec.MinReadySeconds, Lifecycle: set.Spec.Lifecycle, ProgressDeadlineSeconds: set.Spec.ProgressDeadlineSeconds,
	}}
	if rolling := set.Spec.UpdateStrategy.RollingUpdate; rolling != nil {
		old.Spec.UpdateStrategy = kruisev1alpha1.CloneSetUpdateStrategy{
			Type: kruisev1alpha1.CloneSetUpdateStrategyType(rolling.PodUpdatePolicy), Partition: rolling.Partition, MaxUnavailable: rolling.MaxUnavailable, Paused: rolling.Paused,
		}
	}
	return old
}
