// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package counting_test is the suite of the gates that change how Pods are counted, on the overlay that switches all gates on.
package counting_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

const web = "app=web"

func TestMain(m *testing.M) { support.Main(m, "all") }

func TestALargerPartitionTakesPodsBack(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(4).Partition("1").MaxUnavailable("1").Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "three Pods are updated", support.IsUpdated(3))

	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"updateStrategy":{"rollingUpdate":{"partition":3}}}}`)
	set := s.WaitFor("web", "one Pod is updated", support.IsUpdated(1))
	assert.EqualValues(t, 1, set.Status.ExpectedUpdatedReplicas)
	old := 0
	for name, pod := range s.Pods(web) {
		assert.Equal(t, before[name].UID, pod.UID, "%s goes back in place", name)
		if pod.Spec.Containers[0].Image == support.ImageV1 {
			old++
		}
	}
	assert.Equal(t, 3, old)
	s.WaitReady("web")
}

func TestAPodThatWaitsForItsHookCountsAsUpdated(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(3).Partition("1").MaxUnavailable("1").Obj()
	set.Spec.Template.Labels["hold-update"] = "yes"
	set.Spec.Lifecycle = &pub.Lifecycle{InPlaceUpdate: &pub.LifecycleHook{LabelsHandler: map[string]string{"hold-update": "yes"}}}
	s.Create(set)
	s.WaitReady("web")
	s.SetImage("web", support.ImageV2)
	waiting := ""
	s.Eventually("a Pod waits for its hook", func() bool {
		for name, pod := range s.Pods(web) {
			if pod.Labels[pub.LifecycleStateKey] == string(pub.LifecycleStatePreparingUpdate) {
				waiting = name
			}
		}
		return waiting != ""
	})

	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"replicas":2}}`)
	s.WaitFor("web", "two Pods are left", func(set *kruisev1beta1.CloneSet) bool { return set.Status.Replicas == 2 })
	require.Contains(t, s.Pods(web), waiting, "it does not serve, but an old Pod was one too many")

	s.Patch(&corev1.Pod{}, waiting, `{"metadata":{"labels":{"hold-update":null}}}`)
	s.Eventually("it is updated", func() bool { return s.Pods(web)[waiting].Spec.Containers[0].Image == support.ImageV2 })
}
