// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

func (b *builder) Deadline(seconds int32) *builder {
	return b.with(func() { b.set.Spec.ProgressDeadlineSeconds = &seconds })
}

// Says writes down what the conditions say.
func (s *stage) Says() {
	set := s.controller.set
	if set.Spec.ProgressDeadlineSeconds != nil {
		progressing := findCondition(set, kruisev1beta1.CloneSetConditionProgressing)
		s.Script.Tell("status", "Progressing %s %s: %s", progressing.Status, progressing.Reason, s.Shorten(progressing.Message))
	}
	for _, c := range set.Status.Conditions {
		isTold := c.Type != kruisev1beta1.CloneSetConditionProgressing && c.Type != kruisev1beta1.CloneSetConditionReconciling &&
			c.Type != kruisev1beta1.CloneSetConditionStalled
		if isTold {
			s.Script.Tell("status", "%s %s %s: %s", c.Type, c.Status, c.Reason, s.Shorten(c.Message))
		}
	}
}

// reason is that of the condition Progressing.
func (s *stage) reason() string {
	return findCondition(s.controller.set, kruisev1beta1.CloneSetConditionProgressing).Reason
}

func progressStories() map[string]story {
	three := func() *builder { return MakeCloneSet("web").Replicas(3).InPlaceIfPossible().MaxUnavailable("1") }
	return map[string]story{
		"a rollout without progress is stalled at its deadline and goes on when it is mended": {
			set: three().Deadline(10).Obj(),
			play: func(s *stage) {
				s.Images["app:gone"] = sim.Image{Missing: true}
				s.Given("three Pods of app:v1")
				s.User("sets an image that cannot be pulled", func(b *builder) { b.Image("app:gone") })
				for range 8 {
					s.Reconcile()
					s.takeAny()
				}
				assert.Equal(s.t, "CloneSetUpdated", s.reason())
				s.Says()
				s.Rest()
				s.Says()
				assert.Equal(s.t, "ProgressDeadlineExceeded", s.reason())
				assert.Equal(s.t, corev1.ConditionTrue, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionStalled).Status)
				s.User("sets the image to app:v2: only what is ours begins anew", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Says()
				assert.Equal(s.t, "ProgressDeadlineExceeded", s.reason())
				assert.Equal(s.t, corev1.ConditionFalse, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionStalled).Status)
				s.Rest()
				s.Says()
				assert.Equal(s.t, "CloneSetAvailable", s.reason())
			},
		},
		"a Pod that falters long after the rollout begins a new deadline": {
			set: three().Deadline(10).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.Pause(seconds(3600))
				s.Script.Scene("a probe of web-b fails")
				s.Falter(s.Pod("web-b"))
				s.Reconcile()
				s.Says()
				assert.Equal(s.t, "CloneSetUpdated", s.reason(), "an hour of rest is no hour without progress")
				s.Rest()
				s.Says()
				assert.Equal(s.t, "CloneSetAvailable", s.reason())
			},
		},
		"a batch is as many Pods as may change at once, and the partition keeps the rest": {
			set: three().Replicas(5).MaxUnavailable("2").Partition("1").Deadline(10).Obj(),
			play: func(s *stage) {
				s.Given("five Pods of app:v1")
				s.Says()
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Do("kubelet stop web-a/main")
				s.Reconcile()
				s.Says()
				s.Rest()
				s.Says()
				assert.Equal(s.t, "ProgressPartitionAvailable", s.reason())
				s.Script.Scene("a probe of an old Pod fails; no deadline runs")
				s.Falter(s.Pod("web-e"))
				s.Reconcile()
				s.Says()
				s.Rest()
				s.User("lowers the partition to 0, and pauses", func(b *builder) { b.Partition("0").rolling().Paused = true })
				s.Rest()
				s.Says()
				assert.Equal(s.t, "CloneSetPaused", s.reason())
				s.User("resumes", func(b *builder) { b.rolling().Paused = false })
				s.Rest()
				s.Says()
			},
		},
		"a rollback by partition says where it goes": {
			set: three().MaxUnavailable("1").Obj(),
			play: func(s *stage) {
				s.controller.policy.PartitionRollback = true
				s.Given("three Pods of app:v1, and the gate that lets a partition roll back")
				s.User("sets the image to app:v2, for two Pods", func(b *builder) { b.Image("app:v2").Partition("1") })
				s.Rest()
				s.User("raises the partition to 3", func(b *builder) { b.Partition("3") })
				s.Reconcile()
				s.Reconcile()
				s.Says()
				s.Rest()
				s.Says()
				assert.Equal(s.t, 0, s.Tally().Updated)
			},
		},
		"OnDelete is Ready while it waits for its user, and the published deadline passes": {
			set: three().Deadline(10).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the type to OnDelete and the image to app:v2", func(b *builder) {
					b.Image("app:v2").set.Spec.UpdateStrategy.Type = kruisev1beta1.OnDeleteCloneSetUpdateStrategyType
				})
				s.Quieten()
				s.Says()
				assert.Equal(s.t, "CloneSetUpdated", s.reason())
				s.Rest()
				s.Says()
				assert.Equal(s.t, "ProgressDeadlineExceeded", s.reason())
				assert.Equal(s.t, corev1.ConditionTrue, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionReady).Status)
			},
		},
		"a hook that nobody serves is named, and stalls the rollout at its deadline": {
			set: three().Deadline(10).Lifecycle(pub.Lifecycle{InPlaceUpdate: drain()}).WithHook(drain()).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1 with their hooks")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.Says()
				assert.Equal(s.t, "ProgressDeadlineExceeded", s.reason())
			},
		},
		"a limit on scaling is told once for each time that it holds": {
			set: MakeCloneSet("web").Replicas(1).with(func() {}).Obj(),
			play: func(s *stage) {
				s.Given("one Pod of app:v1")
				s.User("scales to 4; no Pod may be created while one is unavailable", func(b *builder) {
					b.Replicas(4).set.Spec.ScaleStrategy.MaxUnavailable = numberOrPart("1")
				})
				s.Reconcile()
				s.Reconcile()
				s.Says()
				s.Rest()
				assert.Equal(s.t, 1, strings.Count(s.Script.String(), "say ScaleUpLimited"))
				s.Says()
				s.User("scales to 6", func(b *builder) { b.Replicas(6) })
				s.Rest()
				assert.Equal(s.t, 2, strings.Count(s.Script.String(), "say ScaleUpLimited"))
				assert.Equal(s.t, 6, s.Tally().Available)
			},
		},
		"while a Pod cannot be created those that are there are updated": {
			set: MakeCloneSet("web").Replicas(4).InPlaceIfPossible().MaxUnavailable("2").Partition("1").Obj(),
			play: func(s *stage) {
				s.Given("four Pods of app:v1")
				s.User("scales to 5 and sets the image to app:v2; the quota is spent", func(b *builder) { b.Replicas(5).Image("app:v2") })
				s.Reconcile()
				s.Inject(sim.Refusal)
				s.Reconcile()
				assert.NotEmpty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedScale).Type)
				s.Inject(sim.None, sim.None, sim.Refusal)
				s.Reconcile()
				assert.Equal(s.t, 1, s.Tally().Updated, "one is missing, and one more may be")
				assert.Len(s.t, s.names(), 4)
				s.Script.Scene("the quota is raised")
				s.Rest()
				assert.Equal(s.t, 4, s.Tally().UpdatedAvailable)
				assert.Len(s.t, s.names(), 5)
			},
		},
		"a refusal is told until it is over": {
			set: MakeCloneSet("web").Replicas(1).InPlaceIfPossible().MaxUnavailable("2").Obj(),
			play: func(s *stage) {
				s.Given("one Pod of app:v1")
				s.User("scales to 2; the quota is spent", func(b *builder) { b.Replicas(2) })
				s.Inject(sim.Refusal)
				s.Reconcile()
				s.Says()
				s.User("sets the image to app:v2; that writes a revision and tries nothing", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				assert.NotEmpty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedScale).Type, "nothing was tried")
				s.Script.Scene("the quota is raised; the next update is refused")
				s.Inject(sim.None, sim.Refusal)
				s.Reconcile()
				assert.Empty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedScale).Type, "it succeeded")
				s.Says()
				assert.NotEmpty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedUpdate).Type)
				s.Script.Scene("nobody refuses anything any more")
				s.Rest()
				s.Says()
				assert.Empty(s.t, findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedUpdate).Type)
			},
		},
	}
}

// Quieten lets all that can happen happen, while the clock stands.
func (s *stage) Quieten() {
	s.t.Helper()
	for range turns {
		if pass := s.Reconcile(); !pass.IsIdle() {
			continue
		}
		if len(s.Steps()) == 0 {
			return
		}
		s.takeAny()
	}
	require.FailNow(s.t, "the story never comes to rest", s.Script.Tail(40))
}

// takeAny lets the scheduler or a kubelet do the next thing.
func (s *stage) takeAny() {
	if steps := s.Steps(); len(steps) > 0 {
		s.TakeStep(steps[0])
	}
}
