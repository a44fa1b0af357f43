// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

func resizeStories() map[string]story {
	sized := func() *builder { return MakeCloneSet("web").Replicas(2).InPlaceIfPossible().CPU("100m") }
	return map[string]story{
		"resources change in place without a restart": {
			set: sized().Obj(),
			play: func(s *stage) {
				s.controller.policy.VerticalScaling = true
				s.Given("two Pods with 100m of CPU")
				s.User("asks for 200m", func(b *builder) { b.CPU("200m") })
				s.Rest()
				assert.Equal(s.t, 0, s.restarts("web-a", "main"))
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a container that asks for it restarts for its resources": {
			set: sized().RestartsToResize().Obj(),
			play: func(s *stage) {
				s.controller.policy.VerticalScaling = true
				s.Given("two Pods with 100m of CPU")
				s.User("asks for 200m and another image", func(b *builder) { b.CPU("200m").Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a resize that the node cannot make now is told and made later": {
			set: sized().Obj(),
			play: func(s *stage) {
				s.controller.policy.VerticalScaling = true
				s.Full = true
				s.Given("two Pods with 100m of CPU on full nodes")
				s.User("asks for 200m", func(b *builder) { b.CPU("200m") })
				s.Rest()
				c := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionReconciling)
				assert.Equal(s.t, "ResizeDeferred", c.Reason)
				assert.Equal(s.t, "batch 1/2: 1 of 2 updated, 1 available, waiting for web-a (Deferred): the node cannot give Pod web-a its new resources now: not enough CPU", c.Message)
				s.Script.Scene("another Pod leaves the nodes")
				s.Full = false
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a resize that no node can make is told and taken back": {
			set: sized().Obj(),
			play: func(s *stage) {
				s.controller.policy.VerticalScaling = true
				s.TooMuch = resource.MustParse("64")
				s.Given("two Pods with 100m of CPU")
				before := s.UIDs()
				s.User("asks for 100 cores", func(b *builder) { b.CPU("100") })
				s.Rest()
				c := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionStalled)
				assert.Equal(s.t, corev1.ConditionTrue, c.Status)
				assert.Equal(s.t, "ResizeInfeasible", c.Reason)
				s.User("goes back to 100m", func(b *builder) { b.CPU("100m") })
				s.Rest()
				assert.Equal(s.t, before, s.UIDs())
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a resize that the server refuses is told and taken back": {
			set: sized().Obj(),
			play: func(s *stage) {
				s.controller.policy.VerticalScaling = true
				s.TooMuch, s.Refuses = resource.MustParse("64"), true
				s.Given("two Pods with 100m of CPU")
				before := s.UIDs()
				s.User("asks for 100 cores", func(b *builder) { b.CPU("100") })
				for range 5 {
					s.Reconcile()
				}
				c := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionStalled)
				assert.Equal(s.t, corev1.ConditionTrue, c.Status)
				assert.Equal(s.t, "ResizeRefused", c.Reason)
				assert.Contains(s.t, c.Message, "Pod web-a cannot have its new resources: ")
				assert.Equal(s.t, 1, s.Tally().Available, "the other Pod waits")
				s.User("adds a replica", func(b *builder) { b.Replicas(3) })
				for range 12 {
					s.Reconcile()
					if steps := s.Steps(); len(steps) > 0 {
						s.TakeStep(steps[0])
					}
				}
				assert.Equal(s.t, 2, s.Tally().Available, "scaling goes on")
				s.User("goes back to 100m", func(b *builder) { b.CPU("100m") })
				s.Rest()
				assert.Subset(s.t, s.UIDs(), before)
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
				assert.Empty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedUpdate))
			},
		},
		"the controllers are killed before they ask for resources": {
			set: sized().Replicas(1).Obj(),
			play: func(s *stage) {
				killedBeforeAsking(s)
				s.Script.Scene("others take over")
				s.Rest()
				endsWith(s, "200m")
			},
		},
		"the controllers are killed before they ask for resources and the wish is withdrawn": {
			set: sized().Replicas(1).Obj(),
			play: func(s *stage) {
				killedBeforeAsking(s)
				s.User("goes back to 100m", func(b *builder) { b.CPU("100m") })
				s.Rest()
				endsWith(s, "100m")
			},
		},
		"while the gate is off changed resources recreate": {
			set: sized().Replicas(1).Obj(),
			play: func(s *stage) {
				s.Given("a Pod with 100m of CPU")
				s.User("asks for 200m", func(b *builder) { b.CPU("200m") })
				s.Rest()
				assert.Nil(s.t, s.World.Pod("web-a"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
	}
}

// killedBeforeAsking kills the controllers between the write that announces new resources and the one that asks for them.
func killedBeforeAsking(s *stage) {
	s.controller.policy.VerticalScaling = true
	s.Given("a Pod with 100m of CPU")
	s.User("asks for 200m", func(b *builder) { b.CPU("200m") })
	s.Reconcile()
	s.Inject(sim.None, sim.Kill)
	assert.True(s.t, s.Reconcile().Killed)
}

// endsWith says that the only Pod serves, updated, with so much CPU.
func endsWith(s *stage, cpu string) {
	s.t.Helper()
	assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
	request := s.Pod("web-a").Spec.Containers[0].Resources.Requests[corev1.ResourceCPU]
	assert.Equal(s.t, cpu, request.String())
}
