// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package published_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// hookedByLabel is a set whose Pods are held by a label before their deletion.
func hookedByLabel() *support.CloneSetBuilder {
	hook := &pub.LifecycleHook{LabelsHandler: map[string]string{"hold-delete": "yes"}}
	return support.MakeCloneSet("web").Replicas(3).Deadline(600).Hooked(hook).Lifecycle(pub.Lifecycle{PreDelete: hook})
}

func letGo(s *support.Suite, pod string) {
	s.Helper()
	s.Patch(&corev1.Pod{}, pod, `{"metadata":{"labels":{"hold-delete":null}}}`)
}

func waitsForItsDeletion(s *support.Suite, pod string) {
	s.Helper()
	s.Eventually(pod+" waits for its deletion", func() bool { return state(s.Pods(web)[pod]) == "PreparingDelete" })
}

func hasReplicas(s *support.Suite, n int32) {
	s.Helper()
	counts(s, "the replicas are as many as they should be", func(status kruisev1beta1.CloneSetStatus) bool { return status.Replicas == n })
}

func TestAPreDeleteHookHoldsAPod(t *testing.T) {
	s := support.Begin(t)
	s.Create(hookedByLabel().Obj())
	becomes(s, available())
	before := s.Pods(web)
	victim := support.SortedKeys(before)[0]
	s.Patch(&corev1.Pod{}, victim, `{"metadata":{"labels":{"apps.kruise.io/specified-delete":"true"}}}`)
	waitsForItsDeletion(s, victim)
	becomes(s, progressing())
	counts(s, "it is ready, and not available", func(status kruisev1beta1.CloneSetStatus) bool {
		return status.ReadyReplicas == 3 && status.AvailableReplicas == 2
	})
	s.Never("the replicas change", 3*time.Second, func() bool { return s.CloneSet("web").Status.Replicas != 3 })
	letGo(s, victim)
	s.Eventually("it is gone", func() bool { _, there := s.Pods(web)[victim]; return !there })
	becomes(s, available())
	hasReplicas(s, 3)
	after := s.Pods(web)
	kept := 0
	for name, pod := range after {
		if before[name].UID == pod.UID {
			kept++
		}
	}
	assert.Equal(t, 2, kept, "two are the same as before")
}

func TestAPodThatDoesNotCountIsReplacedAtOnce(t *testing.T) {
	for version, exclude := range map[string]func(*support.Suite){
		"v1beta1": func(s *support.Suite) { patch(s, `{"scaleStrategy":{"excludePreparingDelete":true}}`) },
		"v1alpha1": func(s *support.Suite) {
			s.Patch(&kruisev1alpha1.CloneSet{}, "web", `{"metadata":{"labels":{"apps.kruise.io/cloneset-scaling-exclude-preparing-delete":"true"}}}`)
		},
	} {
		t.Run(version, func(t *testing.T) {
			s := support.Begin(t)
			s.Create(hookedByLabel().Obj())
			becomes(s, available())
			exclude(s)
			before := s.Pods(web)
			victim := support.SortedKeys(before)[0]
			patch(s, `{"replicas":2,"scaleStrategy":{"podsToDelete":["`+victim+`"]}}`)
			waitsForItsDeletion(s, victim)
			hasReplicas(s, 3)
			patch(s, `{"replicas":3}`)
			hasReplicas(s, 4)
			letGo(s, victim)
			hasReplicas(s, 3)
			becomes(s, available())
			after := s.Pods(web)
			assert.NotContains(t, after, victim)
			for name, pod := range before {
				if name != victim {
					assert.Equal(t, pod.UID, after[name].UID)
				}
			}
		})
	}
}
