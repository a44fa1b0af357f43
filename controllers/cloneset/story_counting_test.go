// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

func countingStories() map[string]story {
	updateHook := pub.Lifecycle{InPlaceUpdate: &pub.LifecycleHook{LabelsHandler: map[string]string{"hold-update": "yes"}}}
	return map[string]story{
		"a partition of 33.3% keeps two of six old Pods": {
			set: MakeCloneSet("web").Replicas(6).InPlaceIfPossible().Partition("33.3%").MaxUnavailable("50%").Obj(),
			play: func(s *stage) {
				s.Given("six Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 4, s.Tally().UpdatedAvailable)
			},
		},
		"a partition of 99.9% updates one Pod of three": {
			set: MakeCloneSet("web").Replicas(3).InPlaceIfPossible().Partition("99.9%").Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a surge and unavailable Pods together": {
			set: MakeCloneSet("web").Replicas(4).MaxSurge("1").MaxUnavailable("1").Obj(),
			play: func(s *stage) {
				s.Given("four Pods of app:v1")
				s.User("sets the image to app:v2: five Pods at most, three serve at least", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, sim.Tally{Active: 4, Available: 4, Updated: 4, UpdatedAvailable: 4}, s.Tally())
			},
		},
		"a surge goes ahead of a Pod that a user names": {
			set: MakeCloneSet("web").Replicas(3).MaxSurge("1").MaxUnavailable("0").Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.Script.Scene("the user marks web-b for deletion: its replacement comes first")
				s.Label(kruisev1beta1.SpecifiedDeleteKey, "true", "web-b")
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-c", "web-d"}, s.names())
			},
		},
		"a paused set has no surge, and part of its Pods may go": {
			set: MakeCloneSet("web").Replicas(4).MaxSurge("1").MaxUnavailable("20%").Obj(),
			play: func(s *stage) {
				s.Given("four Pods of app:v1")
				s.User("pauses the update: 20% of four are one Pod now", func(b *builder) { b.rolling().Paused = true })
				s.Rest()
				s.Script.Scene("the user marks web-b for deletion: nothing is created first")
				s.Label(kruisev1beta1.SpecifiedDeleteKey, "true", "web-b")
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-c", "web-d", "web-e"}, s.names())
			},
		},
		"scaling out waits for Pods that do not serve": {
			set: MakeCloneSet("web").Replicas(1).Obj(),
			play: func(s *stage) {
				s.Given("one Pod of app:v1")
				s.User("scales to 5, at most two not serving", func(b *builder) {
					b.Replicas(5).set.Spec.ScaleStrategy.MaxUnavailable = numberOrPart("2")
				})
				s.Rest()
				assert.Equal(s.t, 5, s.Tally().Available)
			},
		},
		"a larger partition takes updated Pods back": {
			set: MakeCloneSet("web").Replicas(4).InPlaceIfPossible().Partition("1").Obj(),
			play: func(s *stage) {
				s.controller.policy.PartitionRollback = true
				s.Given("four Pods of app:v1; the gate CloneSetPartitionRollback is on")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
				s.User("raises the partition to 3", func(b *builder) { b.Partition("3") })
				s.Rest()
				assert.Equal(s.t, sim.Tally{Active: 4, Available: 4, Updated: 1, UpdatedAvailable: 1}, s.Tally())
				s.User("lowers the partition to 0", func(b *builder) { b.Partition("0") })
				s.Rest()
				assert.Equal(s.t, 4, s.Tally().UpdatedAvailable)
			},
		},
		"a larger partition leaves updated Pods alone": {
			set: MakeCloneSet("web").Replicas(4).InPlaceIfPossible().Partition("1").Obj(),
			play: func(s *stage) {
				s.Given("four Pods of app:v1; the gate CloneSetPartitionRollback is off")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.User("raises the partition to 3: nothing happens", func(b *builder) { b.Partition("3") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"a Pod that waits for its hook stays when it counts as updated": {
			set: MakeCloneSet("web").Replicas(3).InPlaceIfPossible().Partition("1").Lifecycle(updateHook).Obj(),
			play: func(s *stage) {
				s.controller.policy.PreparingUpdateAsUpdate = true
				shrinkWhileHeld(s)
				assert.Equal(s.t, []string{"web-a", "web-c"}, s.names())
			},
		},
		"a Pod that waits for its hook goes first when it counts as old": {
			set: MakeCloneSet("web").Replicas(3).InPlaceIfPossible().Partition("1").Lifecycle(updateHook).Obj(),
			play: func(s *stage) {
				shrinkWhileHeld(s)
				assert.Equal(s.t, []string{"web-b", "web-c"}, s.names())
			},
		},
	}
}

// shrinkWhileHeld removes a Pod while one waits for its hook, which then lets go.
func shrinkWhileHeld(s *stage) {
	gate := map[bool]string{true: "on", false: "off"}[s.controller.policy.PreparingUpdateAsUpdate]
	s.Given("three Pods of app:v1, all held; the gate PreparingUpdateAsUpdate is " + gate)
	s.Label("hold-update", "yes", s.names()...)
	s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
	s.Rest()
	s.User("scales to 2", func(b *builder) { b.Replicas(2) })
	s.Rest()
	s.Script.Scene("the hook lets go, and holds the Pods again when they are updated")
	for _, pod := range s.names() {
		s.Edit(pod, func(p *corev1.Pod) { delete(p.Labels, "hold-update") })
	}
	s.Rest()
	s.Label("hold-update", "yes", s.names()...)
	s.Rest()
	assert.Equal(s.t, sim.Tally{Active: 2, Available: 2, Updated: 1, UpdatedAvailable: 1}, s.Tally())
}
