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

func updateStories() map[string]story {
	return map[string]story{
		"three Pods are recreated one at a time": {
			set: MakeCloneSet("web").Replicas(3).MaxUnavailable("1").Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"web-d", "web-e", "web-f"}, s.names())
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"a surge goes ahead of a recreation": {
			set: MakeCloneSet("web").Replicas(3).MaxSurge("1").MaxUnavailable("0").Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"an update is paused and resumed": {
			set: MakeCloneSet("web").Replicas(4).InPlaceIfPossible().MaxUnavailable("1").Obj(),
			play: func(s *stage) {
				s.Given("four Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.User("pauses the update", func(b *builder) { b.rolling().Paused = true })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable, "the Pod that was under way is finished, no other begins")
				s.User("scales to 5: scaling goes on", func(b *builder) { b.Replicas(5) })
				s.Rest()
				s.User("resumes the update", func(b *builder) { b.rolling().Paused = false })
				s.Rest()
				assert.Equal(s.t, 5, s.Tally().UpdatedAvailable)
			},
		},
		"minReadySeconds hold the next Pod back": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().MaxUnavailable("1").MinReadySeconds(10).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"OnDelete updates the Pods that somebody deletes": {
			set: MakeCloneSet("web").Replicas(2).with(func() {}).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				s.User("sets the type to OnDelete and the image to app:v2", func(b *builder) {
					b.Image("app:v2").set.Spec.UpdateStrategy.Type = kruisev1beta1.OnDeleteCloneSetUpdateStrategyType
				})
				s.Rest()
				assert.Equal(s.t, 0, s.Tally().Updated)
				s.Script.Tell("somebody", "deletes web-a")
				s.DeletePod("web-a")
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a third revision arrives in the middle of a rollout": {
			set:  MakeCloneSet("web").Replicas(4).InPlaceIfPossible().MaxUnavailable("2").Obj(),
			play: overtake,
		},
		"a third revision arrives while a slow kubelet pulls the second": {
			set: MakeCloneSet("web").Replicas(4).InPlaceIfPossible().MaxUnavailable("2").Obj(),
			play: func(s *stage) {
				s.Kubelets = sim.Slow
				overtake(s)
			},
		},
		"a third revision that changes less still waits for what the second changed": {
			set: MakeCloneSet("web").Replicas(2).Sidecar("proxy:v1").InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1 with proxy:v1")
				s.User("sets app:v2 and proxy:v2", func(b *builder) {
					b.Image("app:v2").set.Spec.Template.Spec.Containers[1].Image = "proxy:v2"
				})
				s.Reconcile()
				s.Reconcile()
				s.User("sets app:v3 and keeps proxy:v2", func(b *builder) { b.Image("app:v3") })
				s.Reconcile()
				s.Reconcile()
				s.User("adds a label to the template", func(b *builder) {
					b.set.Spec.Template.Labels = map[string]string{"app": "web", "tier": "front"}
				})
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a Pod that waits for its deletion serves on when it is needed again": {
			set: MakeCloneSet("web").Replicas(2).Lifecycle(pub.Lifecycle{
				PreDelete: &pub.LifecycleHook{LabelsHandler: map[string]string{"hold-delete": "yes"}},
			}).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				before := s.UIDs()
				for _, pod := range s.names() {
					s.Edit(pod, func(pod *corev1.Pod) { pod.Labels["hold-delete"] = "yes" })
				}
				s.User("scales to 1; the Pod to delete is held", func(b *builder) { b.Replicas(1) })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().Available)
				s.User("scales to 2 again", func(b *builder) { b.Replicas(2) })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().Available)
				assert.Equal(s.t, before, s.UIDs(), "no Pod is replaced")
			},
		},
		"hooks hold a Pod until its user lets go": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().MaxUnavailable("1").Lifecycle(pub.Lifecycle{
				PreDelete:     &pub.LifecycleHook{LabelsHandler: map[string]string{"hold-delete": "yes"}},
				InPlaceUpdate: &pub.LifecycleHook{LabelsHandler: map[string]string{"hold-update": "yes"}},
			}).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				hold := func(key string) func(pod *corev1.Pod) { return func(pod *corev1.Pod) { pod.Labels[key] = "yes" } }
				release := func(key string) func(pod *corev1.Pod) { return func(pod *corev1.Pod) { delete(pod.Labels, key) } }
				for _, pod := range s.names() {
					s.Edit(pod, hold("hold-update"))
					s.Edit(pod, hold("hold-delete"))
				}
				s.User("sets the image to app:v2; both Pods are held", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 0, s.Tally().Updated)
				for _, pod := range s.names() {
					s.Script.Scene("the hook lets go of %s, and holds it again when it is updated", pod)
					s.Edit(pod, release("hold-update"))
					s.Rest()
					s.Edit(pod, hold("hold-update"))
					s.Rest()
				}
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
				s.User("scales to 1; the Pod to delete is held", func(b *builder) { b.Replicas(1) })
				s.Rest()
				assert.Len(s.t, s.Pods(), 2)
				s.Script.Scene("the hooks let go")
				for _, pod := range s.names() {
					s.Edit(pod, release("hold-delete"))
				}
				s.Rest()
				assert.Len(s.t, s.Pods(), 1)
			},
		},
	}
}

// overtake sets a third image while the first Pod is about to start with the second.
func overtake(s *stage) {
	s.Given("four Pods of app:v1")
	s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
	s.Reconcile()
	s.Reconcile()
	s.Do("kubelet stop web-a/main")
	s.User("sets the image to app:v3", func(b *builder) { b.Image("app:v3") })
	s.Rest()
	assert.Equal(s.t, 4, s.Tally().UpdatedAvailable)
	for _, pod := range s.Pods() {
		assert.Equal(s.t, "app:v3", s.Runs(pod, "main"))
	}
}
