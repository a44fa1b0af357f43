// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestAChangeThatRecreatesPodsIsWarnedOf(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).Partition("1").Obj())
	s.WaitReady("web")
	patch := func(template string) string {
		out, err := support.Kubectl(s.Context(), nil, "-n", s.Namespace, "patch", "cloneset", "web", "--type=merge", "--dry-run=server", "-o=name",
			`-p={"spec":{"template":`+template+`}}`)
		require.NoError(t, err, out)
		return out
	}
	containers := s.CloneSet("web").Spec.Template.Spec.Containers
	containers[0].WorkingDir = "/"
	assert.Contains(t, patch(`{"spec":{"containers":`+support.JSON(containers)+`}}`),
		"Warning: this change recreates 2 Pods: spec.template.spec.containers[0].workingDir cannot change in place")
	assert.NotContains(t, patch(`{"metadata":{"annotations":{"team":"shop"}}}`), "Warning", "it can be made in place")
}

func TestOnDeleteUpdatesThePodsThatSomebodyDeletes(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(2).Obj()
	set.Spec.UpdateStrategy.Type = kruisev1beta1.OnDeleteCloneSetUpdateStrategyType
	s.Create(set)
	s.WaitFor("web", "two Pods are available", isAvailable(2))
	before := s.Pods(web)
	names := support.SortedKeys(before)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "the new revision is known", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.ObservedGeneration == set.Generation && set.Status.UpdateRevision != set.Status.CurrentRevision
	})
	s.Never("a Pod changes by itself", 3*time.Second, func() bool {
		pods := s.Pods(web)
		return len(pods) != 2 || image(pods[names[0]], "main") != support.ImageV1 || image(pods[names[1]], "main") != support.ImageV1
	})

	victim := before[names[0]]
	require.NoError(t, s.Resources.Delete(t.Context(), &victim))
	s.WaitFor("web", "one of two Pods is updated", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.UpdatedAvailableReplicas == 1 && set.Status.AvailableReplicas == 2
	})
	pods := s.Pods(web)
	assert.NotContains(t, pods, names[0])
	assert.Equal(t, before[names[1]].UID, pods[names[1]].UID, "nobody touched the other one")
}
