// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

func scaleStories() map[string]story {
	return map[string]story{
		"three Pods are created and become available": {
			set: MakeCloneSet("web").Replicas(3).Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet")
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().Available)
			},
		},
		"scaling in takes the Pod that serves least first": {
			set: MakeCloneSet("web").Replicas(6).Obj(),
			play: func(s *stage) {
				s.Given("six Pods of app:v1")
				s.Script.Scene("meanwhile: web-b costs less than the others, web-d falters, web-a is named by the user")
				s.Edit("web-b", func(pod *corev1.Pod) { pod.Annotations[corev1.PodDeletionCost] = "-5" })
				s.Falter(s.Pod("web-d"))
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Labels[kruisev1beta1.SpecifiedDeleteKey] = "true" })
				s.User("scales to 3", func(b *builder) { b.Replicas(3) })
				s.Rest()
				assert.Equal(s.t, []string{"web-c", "web-e", "web-f"}, s.names())
			},
		},
		"scaling out to five and in to none": {
			set: MakeCloneSet("web").Replicas(1).Obj(),
			play: func(s *stage) {
				s.Given("one Pod of app:v1")
				s.User("scales to 5", func(b *builder) { b.Replicas(5) })
				s.Rest()
				assert.Equal(s.t, 5, s.Tally().Available)
				s.User("scales to 0", func(b *builder) { b.Replicas(0) })
				s.Rest()
				assert.Empty(s.t, s.Pods())
			},
		},
		"a Pod that a user names is replaced within maxUnavailable": {
			set: MakeCloneSet("web").Replicas(3).MaxUnavailable("1").Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("names web-a and web-b in podsToDelete", func(b *builder) {
					b.set.Spec.ScaleStrategy.PodsToDelete = []string{"web-a", "web-b"}
				})
				s.Rest()
				assert.Equal(s.t, []string{"web-c", "web-d", "web-e"}, s.names())
			},
		},
		"creation is refused by a quota and goes on when it is raised": {
			set: MakeCloneSet("web").Replicas(4).Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet; the quota holds one Pod")
				s.Inject(sim.None, sim.None, sim.Refusal)
				s.Reconcile()
				s.Reconcile()
				failed := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedScale)
				assert.Equal(s.t, corev1.ConditionTrue, failed.Status)
				assert.Len(s.t, s.Pods(), 2, "the batches are 1, 2, 4: of the second one was refused, the third was not begun")
				s.Script.Scene("the quota is raised")
				s.Rest()
				assert.Equal(s.t, 4, s.Tally().Available)
			},
		},
		"scaling out in the middle of an update": {
			set: MakeCloneSet("web").Replicas(3).InPlaceIfPossible().Partition("1").Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Do("kubelet stop web-a/main")
				s.User("scales to 5", func(b *builder) { b.Replicas(5) })
				s.Rest()
				assert.Equal(s.t, sim.Tally{Active: 5, Available: 5, Updated: 4, UpdatedAvailable: 4}, s.Tally())
				s.User("scales to 2", func(b *builder) { b.Replicas(2) })
				s.Rest()
				assert.Equal(s.t, sim.Tally{Active: 2, Available: 2, Updated: 1, UpdatedAvailable: 1}, s.Tally())
			},
		},
	}
}

// names are the names of all Pods.
func (s *stage) names() []string {
	var names []string
	for _, pod := range s.Pods() {
		names = append(names, pod.Name)
	}
	return names
}
