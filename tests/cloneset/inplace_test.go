// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

const web = "app=web"

func image(pod corev1.Pod, container string) string {
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

func rolling(s *support.Suite, name, fields string) {
	s.Helper()
	s.Patch(&kruisev1beta1.CloneSet{}, name, `{"spec":{"updateStrategy":{"rollingUpdate":`+fields+`}}}`)
}

func TestAnImageChangeKeepsThePods(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(5).MaxUnavailable("20%").Sidecar(support.ImageSleeper).Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)

	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(5))

	after := s.Pods(web)
	support.RequireSamePods(t, before, after)
	for name, pod := range after {
		assert.Equal(t, support.ImageV2, image(pod, "main"))
		assert.Equal(t, support.Restarts(before[name], "main")+1, support.Restarts(pod, "main"), "restarts of main in %s", name)
		assert.Equal(t, support.Restarts(before[name], "side"), support.Restarts(pod, "side"), "restarts of side in %s", name)
	}
	assert.GreaterOrEqual(t, witness.Least(), 4, "replicas - maxUnavailable Pods must always be ready")
	assert.Equal(t, 5, witness.Most(), "no Pod is created")
	s.AwaitEvent("web", "SuccessfulUpdatePodInPlace", "")
}

func TestAPartitionAsANumberHoldsPodsBack(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Partition("2").Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	s.SetImage("web", support.ImageV2)
	set := s.WaitFor("web", "the partition is reached", support.IsUpdated(1))
	assert.EqualValues(t, 1, set.Status.ExpectedUpdatedReplicas)
	assert.NotEqual(t, set.Status.CurrentRevision, set.Status.UpdateRevision)
	s.Never("a Pod beyond the partition is updated", 3*time.Second, func() bool { return s.CloneSet("web").Status.UpdatedReplicas != 1 })

	rolling(s, "web", `{"partition":0}`)
	set = s.WaitFor("web", "all Pods are updated", support.IsUpdated(3))
	assert.Equal(t, set.Status.CurrentRevision, set.Status.UpdateRevision)
	support.RequireSamePods(t, before, s.Pods(web))
}

func TestAPartitionAsAPercentageUpdatesAtLeastOnePod(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Partition("90%").Deadline(600).Obj())
	s.WaitReady("web")
	s.SetImage("web", support.ImageV2)
	set := s.WaitFor("web", "one Pod is updated", support.IsUpdated(1))
	assert.EqualValues(t, 1, set.Status.ExpectedUpdatedReplicas)
	progress := support.Condition(set, kruisev1beta1.CloneSetConditionProgressing)
	require.NotNil(t, progress)
	assert.Equal(t, kruisev1beta1.CloneSetProgressPartitionAvailable, progress.Reason)
}

func TestAPausedSetScalesButDoesNotUpdate(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Paused().Obj())
	s.WaitReady("web")
	s.SetImage("web", support.ImageV2)
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"replicas":3}}`)
	set := s.WaitFor("web", "a Pod is added", func(set *kruisev1beta1.CloneSet) bool { return set.Status.AvailableReplicas == 3 })
	assert.EqualValues(t, 1, set.Status.UpdatedReplicas, "the new Pod has the new revision, the others wait")
	rolling(s, "web", `{"paused":false}`)
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(3))
}

func TestAGracePeriodDrainsBeforeTheImageChanges(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).GracePeriod(4).Obj())
	s.WaitReady("web")
	witness := s.Watch(web)
	s.SetImage("web", support.ImageV2)
	witness.Saw("the Pod is drained with its old image", func(pod corev1.Pod) bool {
		return pod.Annotations["apps.kruise.io/inplace-update-grace"] != "" && image(pod, "main") == support.ImageV1 && !support.IsReady(pod)
	})
	s.WaitFor("web", "the Pod is updated", support.IsUpdated(1))
	for _, pod := range s.Pods(web) {
		assert.Empty(t, pod.Annotations["apps.kruise.io/inplace-update-grace"])
		assert.Contains(t, pod.Annotations["apps.kruise.io/inplace-update-state"], `"updateImages":true`)
	}
}

// since is when a condition of a Pod became what it is, to the second.
func since(pod corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind && c.Status == status {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

func TestMinReadySecondsSlowsTheRollout(t *testing.T) {
	const wait = 4 * time.Second
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").MinReadySeconds(int32(wait.Seconds())).Obj())
	told := support.Condition(s.WaitReady("web"), kruisev1beta1.CloneSetConditionReady).LastTransitionTime
	for name, pod := range s.Pods(web) {
		assert.GreaterOrEqual(t, told.Sub(since(pod, corev1.PodReady, corev1.ConditionTrue)), wait, "%s is ready for a while before it is available", name)
	}
	witness := s.Watch(web)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "both are updated", support.IsUpdated(2))
	pods := s.Pods(web)
	names := support.SortedKeys(pods)
	first, second := pods[names[0]], pods[names[1]]
	if since(second, corev1.PodReady, corev1.ConditionTrue).Before(since(first, corev1.PodReady, corev1.ConditionTrue)) {
		first, second = second, first
	}
	drained := witness.Saw("the second one is drained", func(pod corev1.Pod) bool {
		return pod.Name == second.Name && !since(pod, pub.InPlaceUpdateReady, corev1.ConditionFalse).IsZero()
	})
	assert.GreaterOrEqual(t, since(drained, pub.InPlaceUpdateReady, corev1.ConditionFalse).Sub(since(first, corev1.PodReady, corev1.ConditionTrue)), wait,
		"the second one waits until the first one is available")
}

func TestAChangeThatCannotBeMadeInPlaceSaysWhy(t *testing.T) {
	env := `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"` + support.ImageV1 + `","imagePullPolicy":"IfNotPresent","env":[{"name":"A","value":"b"}]}]}}}}`
	const why = "spec.template.spec.containers[0].env cannot change in place"

	t.Run("and recreates under InPlaceIfPossible", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Obj())
		s.WaitReady("web")
		before, statuses := s.Pods(web), s.WatchSet("web")
		s.Patch(&kruisev1beta1.CloneSet{}, "web", env)
		statuses.Saw("the condition says why", func(set *kruisev1beta1.CloneSet) bool {
			c := support.Condition(set, kruisev1beta1.CloneSetConditionInPlaceUpdatable)
			return c != nil && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, why)
		})
		s.WaitFor("web", "both are updated", support.IsUpdated(2))
		for name := range s.Pods(web) {
			assert.NotContains(t, before, name, "the Pods are new ones")
		}
		s.AwaitEvent("web", "InPlaceUpdateImpossible", why)
		s.AwaitEvent("web", "SuccessfulUpdatePodReCreate", "")
	})
	t.Run("and waits under InPlaceOnly", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(2).Policy(kruisev1beta1.InPlaceOnlyPodUpdatePolicyType).Obj())
		s.WaitReady("web")
		before := s.Pods(web)
		s.Patch(&kruisev1beta1.CloneSet{}, "web", env)
		s.WaitFor("web", "Stalled says why", func(set *kruisev1beta1.CloneSet) bool {
			c := support.Condition(set, kruisev1beta1.CloneSetConditionStalled)
			return c != nil && c.Status == corev1.ConditionTrue && strings.Contains(c.Message, why)
		})
		support.RequireSamePods(t, before, s.Pods(web))
		s.SetImage("web", support.ImageV1)
		s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"`+support.ImageV2+`","imagePullPolicy":"IfNotPresent"}]}}}}`)
		s.WaitFor("web", "a change of image alone goes on", support.IsUpdated(2))
		support.RequireSamePods(t, before, s.Pods(web))
	})
}

func TestAnImageThatCannotBePulledStopsTheRollout(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).MaxUnavailable("1").Deadline(10).Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)
	s.SetImage("web", support.ImageMissing)
	set := s.WaitFor("web", "the deadline passes and the condition names the Pod and its problem", func(set *kruisev1beta1.CloneSet) bool {
		c := support.Condition(set, kruisev1beta1.CloneSetConditionStalled)
		return c != nil && c.Status == corev1.ConditionTrue && (strings.Contains(c.Message, "ImagePullBackOff") || strings.Contains(c.Message, "ErrImagePull"))
	})
	assert.EqualValues(t, 1, set.Status.UpdatedReplicas, "the others keep serving")
	assert.GreaterOrEqual(t, witness.Least(), 2)

	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "a good image repairs it", support.IsUpdated(3))
	support.RequireSamePods(t, before, s.Pods(web))
	assert.GreaterOrEqual(t, witness.Least(), 2)
}

func TestARollbackOfABrokenImageComesBack(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	s.SetImage("web", support.ImageMissing)
	s.Eventually("one Pod cannot pull", func() bool {
		for _, pod := range s.Pods(web) {
			for _, c := range pod.Status.ContainerStatuses {
				if c.State.Waiting != nil && strings.Contains(c.State.Waiting.Reason, "Pull") {
					return true
				}
			}
		}
		return false
	})
	s.SetImage("web", support.ImageV1)
	s.WaitFor("web", "all Pods are back", support.IsUpdated(2))
	support.RequireSamePods(t, before, s.Pods(web))
}

func TestAPodDeletedDuringItsUpdateIsReplaced(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).MaxUnavailable("1").GracePeriod(3).Obj())
	s.WaitReady("web")
	witness := s.Watch(web)
	s.SetImage("web", support.ImageV2)
	victim := witness.Saw("a Pod is being updated", func(pod corev1.Pod) bool { return pod.Labels["lifecycle.apps.kruise.io/state"] == "Updating" })
	require.NoError(t, s.Resources.Delete(t.Context(), &victim))
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(3))
	assert.NotContains(t, s.Pods(web), victim.Name)
}

func TestGarbageInAnnotationsIsHealed(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	for name := range before {
		s.Patch(&corev1.Pod{}, name, `{"metadata":{"annotations":{"apps.kruise.io/inplace-update-state":"{","apps.kruise.io/inplace-update-grace":"[1,2"}}}`)
	}
	s.Eventually("the annotations are gone", func() bool {
		for _, pod := range s.Pods(web) {
			if pod.Annotations["apps.kruise.io/inplace-update-state"] != "" || pod.Annotations["apps.kruise.io/inplace-update-grace"] != "" {
				return false
			}
		}
		return true
	})
	s.AwaitEvent("web", "BrokenAnnotationRemoved", "apps.kruise.io/inplace-update-")
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "the set goes on", support.IsUpdated(2))
	support.RequireSamePods(t, before, s.Pods(web))
}
