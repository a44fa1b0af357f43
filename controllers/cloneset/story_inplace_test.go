// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

func inPlaceStories() map[string]story {
	five := func() *builder { return MakeCloneSet("web").Replicas(5).InPlaceIfPossible() }
	return map[string]story{
		"five Pods take a new image in place one at a time": {
			set: five().Sidecar("proxy:v1").MaxUnavailable("20%").Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				before := s.UIDs()
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, before, s.UIDs(), "no Pod is replaced")
				for _, pod := range s.Pods() {
					assert.EqualValues(s.t, 1, pod.Status.ContainerStatuses[0].RestartCount, "the changed container restarts once")
					assert.EqualValues(s.t, 0, pod.Status.ContainerStatuses[1].RestartCount, "the other one does not")
				}
			},
		},
		"a partition of two keeps two old Pods": {
			set: five().Partition("2").MaxUnavailable("2").Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().Updated)
			},
		},
		"a partition of 50% keeps three of five old Pods": {
			set: five().Partition("50%").Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().Updated)
			},
		},
		"a partition is lowered step by step": {
			set: five().Partition("4").Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().Updated)
				s.User("lowers the partition to 60%", func(b *builder) { b.Partition("60%") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().Updated)
				s.User("lowers the partition to 0", func(b *builder) { b.Partition("0") })
				s.Rest()
				assert.Equal(s.t, 5, s.Tally().Updated)
			},
		},
		"a surge goes ahead of an update in place": {
			set: five().MaxSurge("1").MaxUnavailable("0").Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 5, s.Tally().UpdatedAvailable)
			},
		},
		"a change of an annotation surges nothing though it may": {
			set: five().MaxSurge("3").MaxUnavailable("0").Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				before := s.UIDs()
				s.User("sets an annotation of the template", func(b *builder) { b.Annotation("team", "shop") })
				s.Rest()
				assert.Equal(s.t, before, s.UIDs(), "no Pod comes, and none goes")
				assert.Equal(s.t, 5, s.Tally().UpdatedAvailable)
			},
		},
		"a surge of three goes ahead of an update in place and three old Pods go": {
			set: five().MaxSurge("3").MaxUnavailable("0").Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"web-b", "web-d", "web-f", "web-g", "web-h"}, s.names(), "three old Pods go, the surge stays")
			},
		},
		"a Pod drains for its grace period before its image changes": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().GracePeriodSeconds(3).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a container that starts in the grace period restarts all the same": {
			set: MakeCloneSet("web").Replicas(1).InPlaceIfPossible().GracePeriodSeconds(3).Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet")
				s.Reconcile()
				s.Reconcile()
				s.Do("scheduler bind web-a")
				s.Reconcile()
				s.User("sets the image to app:v2 before the container has started", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Do("kubelet start web-a/main")
				s.Rest()
				assert.Equal(s.t, "app:v2", s.Runs(s.Pod("web-a"), "main"))
			},
		},
		"InPlaceOnly waits and says why when a change is impossible": {
			set: MakeCloneSet("web").Replicas(3).InPlaceOnly().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				before := s.UIDs()
				s.User("changes the command", func(b *builder) { b.set.Spec.Template.Spec.Containers[0].Command = []string{"run"} })
				s.Rest()
				assert.Equal(s.t, before, s.UIDs(), "nothing is deleted")
				c := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionInPlaceUpdatable)
				assert.Equal(s.t, corev1.ConditionFalse, c.Status)
				assert.Contains(s.t, c.Message, ".containers[0].command")
				s.User("takes it back and sets app:v2 instead", func(b *builder) {
					b.Image("app:v2").set.Spec.Template.Spec.Containers[0].Command = nil
				})
				s.Rest()
				assert.Equal(s.t, before, s.UIDs(), "nothing is deleted")
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"InPlaceIfPossible recreates and says why when a change is impossible": {
			set: MakeCloneSet("web").Replicas(3).InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("adds an environment variable", func(b *builder) {
					b.set.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "MODE", Value: "fast"}}
				})
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"labels change in place without a restart": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				s.User("adds a label to the template", func(b *builder) {
					b.set.Spec.Template.Labels = map[string]string{"app": "web", "tier": "front"}
				})
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
				assert.Equal(s.t, "front", s.Pod("web-a").Labels["tier"])
			},
		},
	}
}

func findCondition(set *kruisev1beta1.CloneSet, kind kruisev1beta1.CloneSetConditionType) kruisev1beta1.CloneSetCondition {
	for _, c := range set.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return kruisev1beta1.CloneSetCondition{}
}
