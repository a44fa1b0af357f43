// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// verdict is what kstatus, and so Flux and others, think of a CloneSet as the real controllers left it.
func verdict(s *support.Suite, name string) (status.Status, string) {
	s.Helper()
	return compute(s, s.CloneSet(name))
}

func compute(s *support.Suite, set *kruisev1beta1.CloneSet) (status.Status, string) {
	s.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(set)
	require.NoError(s, err)
	result, err := status.Compute(&unstructured.Unstructured{Object: fields})
	require.NoError(s, err)
	return result.Status, result.Message
}

func becomes(s *support.Suite, name string, want status.Status) string {
	s.Helper()
	message := ""
	s.Eventually(name+" is "+want.String(), func() bool {
		got, m := verdict(s, name)
		message = m
		return got == want
	})
	return message
}

func TestKstatusAgrees(t *testing.T) {
	t.Run("a first creation with nothing ready is in progress", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Image(support.ImageMissing).Obj())
		s.WaitFor("web", "Pods are there", func(set *kruisev1beta1.CloneSet) bool { return set.Status.Replicas == 3 })
		becomes(s, "web", status.InProgressStatus)
		s.Never("it is anything else", 3e9, func() bool { got, _ := verdict(s, "web"); return got != status.InProgressStatus })
	})
	t.Run("a rollout is in progress until it is done", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(3).MaxUnavailable("1").GracePeriod(1).Obj())
		becomes(s, "web", status.CurrentStatus)
		before, statuses := s.CloneSet("web").Generation, s.WatchSet("web")
		s.SetImage("web", support.ImageV2)
		statuses.Saw("it is done", func(set *kruisev1beta1.CloneSet) bool {
			got, message := compute(s, set)
			isDone := set.Generation > before && set.Status.ObservedGeneration == set.Generation && set.Status.UpdatedAvailableReplicas == 3
			if set.Generation > before && !isDone {
				assert.Equal(t, status.InProgressStatus, got, message)
			}
			return isDone
		})
		becomes(s, "web", status.CurrentStatus)
	})
	t.Run("a version whose Pods all crash past its deadline has failed", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Deadline(8).Obj())
		becomes(s, "web", status.CurrentStatus)
		s.SetImage("web", "keelson/crasher:v1")
		message := becomes(s, "web", status.FailedStatus)
		assert.Contains(t, message, "waiting for web-")
		statuses := s.WatchSet("web")
		s.SetImage("web", support.ImageV2)
		statuses.Saw("a good image is in progress", func(set *kruisev1beta1.CloneSet) bool {
			got, _ := compute(s, set)
			return got == status.InProgressStatus && set.Status.ObservedGeneration == set.Generation
		})
		becomes(s, "web", status.CurrentStatus)
	})
	t.Run("scaled to nothing is current", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(0).Obj())
		becomes(s, "web", status.CurrentStatus)
	})
	t.Run("a reached partition is current, and says so", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(3).Partition("2").Obj())
		becomes(s, "web", status.CurrentStatus)
		s.SetImage("web", support.ImageV2)
		s.WaitFor("web", "the partition is reached", func(set *kruisev1beta1.CloneSet) bool {
			return set.Status.UpdatedAvailableReplicas == 1 && set.Status.AvailableReplicas == 3
		})
		becomes(s, "web", status.CurrentStatus)
		ready := support.Condition(s.CloneSet("web"), kruisev1beta1.CloneSetConditionReady)
		assert.Equal(t, "1 of 1 updated, 2 kept by the partition, 3 available, the partition is reached", ready.Message)
	})
	t.Run("OnDelete with old Pods is current", func(t *testing.T) {
		s := support.Begin(t)
		set := support.MakeCloneSet("web").Obj()
		set.Spec.UpdateStrategy = kruisev1beta1.CloneSetUpdateStrategy{Type: kruisev1beta1.OnDeleteCloneSetUpdateStrategyType}
		s.Create(set)
		becomes(s, "web", status.CurrentStatus)
		s.SetImage("web", support.ImageV2)
		s.WaitFor("web", "the change is seen", func(set *kruisev1beta1.CloneSet) bool {
			return set.Status.UpdateRevision != set.Status.CurrentRevision
		})
		becomes(s, "web", status.CurrentStatus)
	})
	t.Run("a pause is told in the conditions that Argo CD reads", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Paused().Deadline(600).Obj())
		becomes(s, "web", status.CurrentStatus)
		s.SetImage("web", support.ImageV2)
		set := s.WaitFor("web", "it says that it is paused", func(set *kruisev1beta1.CloneSet) bool {
			c := support.Condition(set, kruisev1beta1.CloneSetConditionProgressing)
			return c != nil && c.Reason == kruisev1beta1.CloneSetProgressPaused
		})
		assert.Equal(t, "Paused", support.Condition(set, kruisev1beta1.CloneSetConditionReady).Reason)
		got, message := verdict(s, "web")
		assert.Equal(t, status.InProgressStatus, got, message)
	})
	t.Run("an update that must not recreate and cannot be in place has failed", func(t *testing.T) {
		s := support.Begin(t)
		s.Create(support.MakeCloneSet("web").Replicas(1).Policy(kruisev1beta1.InPlaceOnlyPodUpdatePolicyType).Obj())
		becomes(s, "web", status.CurrentStatus)
		s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"keelson/demo:1.10.2","command":["/demo","x"]}]}}}}`)
		assert.Contains(t, becomes(s, "web", status.FailedStatus), "command")
	})
}
