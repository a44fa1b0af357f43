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

func deletionStories() map[string]story {
	held := func(hook *pub.LifecycleHook) *builder {
		return MakeCloneSet("web").Replicas(3).MaxUnavailable("1").Lifecycle(pub.Lifecycle{PreDelete: hook}).WithHook(drain())
	}
	name := func(b *builder, pods ...string) *builder {
		return b.with(func() { b.set.Spec.ScaleStrategy.PodsToDelete = pods })
	}
	exclude := func(b *builder) *builder {
		return b.with(func() { b.set.Spec.ScaleStrategy.ExcludePreparingDelete = true })
	}
	// scaleInByName takes one Pod out, by name, and puts another in before it is gone.
	scaleInByName := func(s *stage) {
		s.Given("three Pods of app:v1 with their hooks")
		s.User("scales to 2 and names web-b", func(b *builder) { name(b.Replicas(2), "web-b") })
		s.Rest()
		assert.Equal(s.t, pub.LifecycleStatePreparingDelete, s.State("web-b"))
		s.User("scales to 3 again", func(b *builder) { b.Replicas(3) })
		s.Rest()
	}
	return map[string]story{
		"a hook marks its Pod not ready while it waits for its deletion, and the Pod does not come back": {
			set: held(marking()).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.User("scales to 2", func(b *builder) { b.Replicas(2) })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStatePreparingDelete, s.State("web-a"))
				assert.False(s.t, isReady(s.Pod("web-a")))
				s.Says()
				s.User("scales to 3 again", func(b *builder) { b.Replicas(3) })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c"}, s.names(), "it counts until it is gone")
				s.Says()
				s.LetGo("web-a", marking())
				assert.Equal(s.t, []string{"web-b", "web-c", "web-d"}, s.names())
			},
		},
		"a hook changes its mind about marking while a Pod waits for its deletion": {
			set: held(drain()).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.User("scales to 2", func(b *builder) { b.Replicas(2) })
				s.Rest()
				s.User("lets the hook mark its Pods", func(b *builder) { b.Lifecycle(pub.Lifecycle{PreDelete: marking()}) })
				s.Rest()
				assert.False(s.t, isReady(s.Pod("web-a")))
				s.User("takes that back and scales to 3 again", func(b *builder) { b.Replicas(3).Lifecycle(pub.Lifecycle{PreDelete: drain()}) })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c"}, s.names())
				assert.Equal(s.t, 3, s.Tally().Available)
			},
		},
		"a named Pod that waits for its hook is replaced when it goes": {
			set: held(drain()).Obj(),
			play: func(s *stage) {
				scaleInByName(s)
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c"}, s.names())
				s.LetGo("web-b", drain())
				assert.Equal(s.t, []string{"web-a", "web-c", "web-d"}, s.names())
				assert.Equal(s.t, []string{"web-b"}, s.controller.set.Spec.ScaleStrategy.PodsToDelete, "what the user wrote stays as it is")
			},
		},
		"a named Pod that waits for its hook is replaced at once where it does not count": {
			set: exclude(held(drain())).Obj(),
			play: func(s *stage) {
				scaleInByName(s)
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c", "web-d"}, s.names())
				assert.Equal(s.t, 3, s.Tally().Available)
				s.LetGo("web-b", drain())
				assert.Equal(s.t, []string{"web-a", "web-c", "web-d"}, s.names())
			},
		},
		"a labelled Pod that waits for its hook is replaced at once where it does not count": {
			set: exclude(held(drain())).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.Script.Scene("somebody labels web-c for deletion")
				s.Edit("web-c", func(p *corev1.Pod) { p.Labels[kruisev1beta1.SpecifiedDeleteKey] = "true" })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c", "web-d"}, s.names())
				s.LetGo("web-c", drain())
				assert.Equal(s.t, []string{"web-a", "web-b", "web-d"}, s.names())
			},
		},
		"a planned deletion is taken back where waiting Pods do not count": {
			set: exclude(held(drain())).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.User("scales to 2", func(b *builder) { b.Replicas(2) })
				s.Rest()
				s.User("scales to 4", func(b *builder) { b.Replicas(4) })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c", "web-d"}, s.names())
				assert.Equal(s.t, 4, s.Tally().Available)
			},
		},
		"a Pod that is not named any more comes back": {
			set: held(drain()).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.User("names web-b", func(b *builder) { name(b, "web-b") })
				s.Rest()
				s.User("names nobody", func(b *builder) { name(b) })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().Available)
			},
		},
		"a Pod whose hook has let go is deleted though others are missing": {
			set: held(drain()).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.User("scales to 2", func(b *builder) { b.Replicas(2) })
				s.Rest()
				s.Script.Scene("the hook lets go of web-a while the user scales to 4")
				s.Edit("web-a", func(p *corev1.Pod) { setHook(p, drain(), false) })
				s.controller.Edit(func(set *kruisev1beta1.CloneSet) { (&builder{set}).Replicas(4) })
				s.Rest()
				assert.Equal(s.t, []string{"web-b", "web-c", "web-d", "web-e"}, s.names())
			},
		},
		"creation that waits for a leaving Pod does not keep it from leaving": {
			set: exclude(held(drain()).with(func() {})).with(func() {}).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.User("names web-a; no Pod may be created while one is unavailable", func(b *builder) {
					name(b, "web-a").set.Spec.ScaleStrategy.MaxUnavailable = numberOrPart("1")
				})
				s.Rest()
				assert.Len(s.t, s.Pods(), 3)
				s.Says()
				s.LetGo("web-a", drain())
				assert.Equal(s.t, 3, s.Tally().Available)
			},
		},
		"names of Pods that are gone mean nothing": {
			set: MakeCloneSet("web").Replicas(2).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				s.User("names web-a, web-gone and web-gone-too", func(b *builder) { name(b, "web-a", "web-gone", "web-gone-too") })
				s.Rest()
				s.User("scales to 3", func(b *builder) { b.Replicas(3) })
				s.Rest()
				assert.Equal(s.t, []string{"web-b", "web-c", "web-d"}, s.names())
				assert.Equal(s.t, sim.Tally{Active: 3, Available: 3, Updated: 3, UpdatedAvailable: 3}, s.Tally())
			},
		},
	}
}
