// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/controllers/plan/sim"
)

// Label puts a label on Pods on behalf of their user.
func (s *stage) Label(key, value string, pods ...string) {
	for _, pod := range pods {
		s.Edit(pod, func(p *corev1.Pod) { p.Labels[key] = value })
	}
}

// Updated are the names of the Pods at the wanted revision.
func (s *stage) Updated() []string {
	promise := s.controller.Promise(s.World)
	var names []string
	for _, pod := range s.Pods() {
		if promise.Tally([]*corev1.Pod{pod}, s.Now).Updated == 1 {
			names = append(names, pod.Name)
		}
	}
	return names
}

func orderStories() map[string]story {
	six := func() *builder { return MakeCloneSet("web").Replicas(6).InPlaceIfPossible().MaxUnavailable("1") }
	return map[string]story{
		"the canaries go first by weight": {
			set: six().Partition("3").Weight(10, "tier", "canary").Weight(1, "zone", "b").Obj(),
			play: func(s *stage) {
				s.Given("six Pods of app:v1")
				s.Script.Scene("web-c and web-e are canaries, web-e and web-f are in zone b")
				s.Label("tier", "canary", "web-c", "web-e")
				s.Label("zone", "b", "web-e", "web-f")
				s.User("sets the image to app:v2: web-e, web-c, web-f", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"web-c", "web-e", "web-f"}, s.Updated())
			},
		},
		"batches go in the order of their numbers": {
			set: six().OrderedBy("batch").Obj(),
			play: func(s *stage) {
				s.Given("six Pods of app:v1")
				s.Script.Scene("web-a is in batch-2, web-b and web-d in batch-10, web-c in the last, the others in none")
				s.Label("batch", "batch-2", "web-a")
				s.Label("batch", "batch-10", "web-b", "web-d")
				s.Label("batch", "last", "web-c")
				s.User("sets the image to app:v2: web-e, web-f, web-b, web-d, web-a, web-c", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 6, s.Tally().UpdatedAvailable)
			},
		},
		"leaders are scattered over the update": {
			set: MakeCloneSet("web").Replicas(9).InPlaceIfPossible().MaxUnavailable("4").Partition("1").Scatter("role", "leader").Obj(),
			play: func(s *stage) {
				s.Given("nine Pods of app:v1")
				s.Script.Scene("web-a, web-b and web-c are leaders")
				s.Label("role", "leader", "web-a", "web-b", "web-c")
				s.User("sets the image to app:v2, four Pods at once: a leader and three others", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				assert.Equal(s.t, []string{"web-a", "web-d", "web-e", "web-f"}, s.Updated())
				s.Rest()
				assert.Equal(s.t, 8, s.Tally().UpdatedAvailable)
			},
		},
		"a rollback goes in the same order": {
			set: six().Weight(10, "tier", "canary").Obj(),
			play: func(s *stage) {
				s.controller.policy.PartitionRollback = true
				s.Given("six Pods of app:v1; the gate CloneSetPartitionRollback is on")
				s.Script.Scene("web-d is a canary")
				s.Label("tier", "canary", "web-d")
				s.User("sets the image to app:v2 for three Pods", func(b *builder) { b.Image("app:v2").Partition("3") })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b", "web-d"}, s.Updated())
				s.User("raises the partition to 5: web-d goes back first", func(b *builder) { b.Partition("5") })
				s.Rest()
				assert.Equal(s.t, []string{"web-b"}, s.Updated())
			},
		},
		"a Pod that does not serve is repaired though others have priority": {
			set: MakeCloneSet("web").Replicas(3).InPlaceIfPossible().MaxUnavailable("1").Weight(10, "tier", "canary").Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.Script.Scene("web-a and web-b are canaries")
				s.Label("tier", "canary", "web-a", "web-b")
				s.Images["app:gone"] = sim.Image{Missing: true}
				s.User("sets an image that is not there", func(b *builder) { b.Image("app:gone") })
				s.Rest()
				assert.Equal(s.t, []string{"web-a"}, s.Updated())
				s.Script.Scene("meanwhile web-a is no canary any more: web-b, which serves, has priority over it")
				s.Label("tier", "other", "web-a")
				s.User("sets the image to app:v3: web-a is free, web-b waits for it", func(b *builder) { b.Image("app:v3") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"scaling in leaves the zones even": {
			set: MakeCloneSet("web").Replicas(6).SpreadBy(corev1.LabelTopologyZone).Obj(),
			play: func(s *stage) {
				s.Zones = map[string]string{"node-1": "a", "node-2": "a", "node-3": "b"}
				s.Given("six Pods on three nodes, two of them in zone a: four Pods in zone a, two in zone b")
				s.User("scales to 4", func(b *builder) { b.Replicas(4) })
				s.Rest()
				zones := map[string]int{}
				for _, pod := range s.Pods() {
					zones[pod.Labels[corev1.LabelTopologyZone]]++
				}
				assert.Equal(s.t, map[string]int{"a": 2, "b": 2}, zones)
			},
		},
		"scaling in empties the most crowded node": {
			set: MakeCloneSet("web").Replicas(4).Obj(),
			play: func(s *stage) {
				s.Given("four Pods: web-a and web-d on node-1, web-b on node-2, web-c on node-3")
				s.User("scales to 3", func(b *builder) { b.Replicas(3) })
				s.Rest()
				nodes := map[string]int{}
				for _, pod := range s.Pods() {
					nodes[pod.Spec.NodeName]++
				}
				assert.Equal(s.t, map[string]int{"node-1": 1, "node-2": 1, "node-3": 1}, nodes)
			},
		},
	}
}
