// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/readiness"
)

// drain is a hook of a label and a finalizer, as the stories use it.
func drain() *pub.LifecycleHook {
	return &pub.LifecycleHook{LabelsHandler: map[string]string{"drain": "me"}, FinalizersHandler: []string{"example.com/drain"}}
}

// marking is the same hook; it marks its Pods not ready.
func marking() *pub.LifecycleHook {
	hook := drain()
	hook.MarkPodNotReady = true
	return hook
}

// WithHook lets every new Pod have the handlers of a hook.
func (b *builder) WithHook(hook *pub.LifecycleHook) *builder {
	return b.with(func() {
		template := &b.set.Spec.Template
		template.Labels = map[string]string{"app": "web"}
		for key, value := range hook.LabelsHandler {
			template.Labels[key] = value
		}
		template.Finalizers = hook.FinalizersHandler
	})
}

// LetGo removes a hook from a Pod, as its owner does when it is done.
func (s *stage) LetGo(pod string, hook *pub.LifecycleHook) {
	s.Script.Scene("the hook lets go of %s", pod)
	s.Edit(pod, func(p *corev1.Pod) { setHook(p, hook, false) })
	s.Rest()
}

// TakeIn sets a hook on a Pod, as its owner does when it has taken it in again.
func (s *stage) TakeIn(pod string, hook *pub.LifecycleHook) {
	s.Script.Scene("the hook takes %s in", pod)
	s.Edit(pod, func(p *corev1.Pod) { setHook(p, hook, true) })
	s.Rest()
}

// State is the lifecycle state of a Pod.
func (s *stage) State(pod string) pub.LifecycleStateType {
	return pub.LifecycleStateType(s.Pod(pod).Labels[pub.LifecycleStateKey])
}

func lifecycleStories() map[string]story {
	two := func(l pub.Lifecycle) *builder {
		return MakeCloneSet("web").Replicas(2).InPlaceIfPossible().MaxUnavailable("1").Lifecycle(l).WithHook(drain())
	}
	one := func(l pub.Lifecycle) *builder { return two(l).Replicas(1) }
	onUpdate := func(hook *pub.LifecycleHook) pub.Lifecycle { return pub.Lifecycle{InPlaceUpdate: hook} }
	return map[string]story{
		"a new Pod is ready before its preNormal hook takes it in, and Normal afterwards": {
			set: MakeCloneSet("web").Replicas(1).Lifecycle(pub.Lifecycle{PreNormal: drain()}).Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet")
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStatePreparingNormal, s.State("web-a"))
				assert.True(s.t, isReady(s.Pod("web-a")), "who takes it in may wait for that")
				assert.Equal(s.t, 0, s.Tally().Available)
				s.Says()
				s.Script.Scene("the hook sets its label, which is half of it")
				s.Edit("web-a", func(p *corev1.Pod) { p.Labels["drain"] = "me" })
				s.Rest()
				assert.Equal(s.t, 0, s.Tally().Available)
				s.TakeIn("web-a", drain())
				assert.Equal(s.t, 1, s.Tally().Available)
			},
		},
		"a Pod whose hook is not set is updated at once and waits to be taken in": {
			set: MakeCloneSet("web").Replicas(1).InPlaceIfPossible().Lifecycle(onUpdate(drain())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 that has no hook on it")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStateUpdated, s.State("web-a"))
				s.Says()
				s.TakeIn("web-a", drain())
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a hook of labels and finalizers is asked before an update and takes the Pod in afterwards": {
			set: one(onUpdate(drain())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStatePreparingUpdate, s.State("web-a"))
				assert.True(s.t, isReady(s.Pod("web-a")), "a hook that marks nothing leaves the Pod in its endpoints")
				s.Says()
				s.Script.Scene("the hook removes its label; the finalizer still holds")
				s.Edit("web-a", func(p *corev1.Pod) { delete(p.Labels, "drain") })
				s.Rest()
				assert.Equal(s.t, 0, s.Tally().Updated)
				s.LetGo("web-a", drain())
				assert.Equal(s.t, pub.LifecycleStateUpdated, s.State("web-a"))
				s.TakeIn("web-a", drain())
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a hook marks its Pod not ready from the preparation of an update to its end": {
			set: one(onUpdate(marking())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.False(s.t, isReady(s.Pod("web-a")))
				assert.True(s.t, readiness.Read(s.Pod("web-a")).Holds(readiness.Key{UserAgent: "Lifecycle", Name: "preUpdateHook"}))
				s.LetGo("web-a", marking())
				assert.Equal(s.t, pub.LifecycleStateUpdated, s.State("web-a"))
				assert.True(s.t, isReady(s.Pod("web-a")), "who takes it in finds it ready")
				s.TakeIn("web-a", marking())
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a hook and somebody else hold a Pod not ready together": {
			set: one(onUpdate(marking())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.Script.Scene("somebody else holds web-a not ready, too")
				another := readiness.Key{UserAgent: "Another", Name: "maintenance"}
				state := readiness.Read(s.Pod("web-a"))
				setReadiness(s.World, "web-a", state, state.Hold(another))
				s.LetGo("web-a", marking())
				s.TakeIn("web-a", marking())
				assert.Equal(s.t, 0, s.Tally().Available, "somebody else still holds it")
				s.Says()
				s.Script.Scene("somebody else lets go of web-a")
				state = readiness.Read(s.Pod("web-a"))
				setReadiness(s.World, "web-a", state, state.Release(another))
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"an update is rolled back before its hook has done anything": {
			set: one(onUpdate(marking())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.User("goes back to app:v1", func(b *builder) { b.Image("app:v1") })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
				assert.EqualValues(s.t, 0, s.Pod("web-a").Status.ContainerStatuses[0].RestartCount)
			},
		},
		"an update is rolled back when its hook has half let go": {
			set: one(onUpdate(marking())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.Script.Scene("the hook removes its label; the finalizer still holds")
				s.Edit("web-a", func(p *corev1.Pod) { delete(p.Labels, "drain") })
				s.User("goes back to app:v1", func(b *builder) { b.Image("app:v1") })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStateUpdated, s.State("web-a"), "it has to be taken in again")
				s.TakeIn("web-a", marking())
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a partition that is raised calls a prepared Pod back, a pause does not": {
			set: two(onUpdate(drain())).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1 with their hooks")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStatePreparingUpdate, s.State("web-a"))
				s.User("pauses the update", func(b *builder) { b.rolling().Paused = true })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStatePreparingUpdate, s.State("web-a"))
				s.User("raises the partition to 2", func(b *builder) { b.Partition("2") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().Available)
				s.User("lowers the partition to 1 and resumes", func(b *builder) { b.Partition("1").rolling().Paused = false })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStatePreparingUpdate, s.State("web-a"))
				s.User("sets the type to OnDelete", func(b *builder) { b.set.Spec.UpdateStrategy.Type = "OnDelete" })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().Available)
			},
		},
		"a Pod that waits to be taken in is asked for again by the next update": {
			set: one(onUpdate(marking())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.LetGo("web-a", marking())
				s.User("sets the image to app:v3", func(b *builder) { b.Image("app:v3") })
				s.Rest()
				assert.Equal(s.t, pub.LifecycleStatePreparingUpdate, s.State("web-a"))
				assert.Equal(s.t, "me", s.Pod("web-a").Labels["drain"])
				assert.Equal(s.t, []string{"example.com/drain"}, s.Pod("web-a").Finalizers)
				s.LetGo("web-a", marking())
				s.TakeIn("web-a", marking())
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
				assert.Equal(s.t, "app:v3", s.Runs(s.Pod("web-a"), "main"))
			},
		},
		"an update that runs is overtaken though its hook is set again too early": {
			set: one(onUpdate(drain())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.Script.Scene("the hook lets go, and is set again while the update runs")
				s.Edit("web-a", func(p *corev1.Pod) { setHook(p, drain(), false) })
				s.Reconcile()
				s.Edit("web-a", func(p *corev1.Pod) { setHook(p, drain(), true) })
				s.User("sets the image to app:v3", func(b *builder) { b.Image("app:v3") })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
				assert.Equal(s.t, "app:v3", s.Runs(s.Pod("web-a"), "main"))
			},
		},
		"hooks that are taken out of the spec hold nothing any more": {
			set: two(pub.Lifecycle{PreDelete: marking(), InPlaceUpdate: marking()}).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1 with their hooks")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.User("takes the hooks out of the spec", func(b *builder) { b.set.Spec.Lifecycle = nil })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a change of labels alone ends with the Pod ready though its hook had marked it": {
			set: one(onUpdate(marking())).Obj(),
			play: func(s *stage) {
				s.Given("a Pod of app:v1 with its hook")
				s.User("adds a label to the template", func(b *builder) {
					b.set.Spec.Template.Labels = map[string]string{"app": "web", "drain": "me", "tier": "front"}
				})
				s.Rest()
				s.LetGo("web-a", marking())
				s.TakeIn("web-a", marking())
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
	}
}
