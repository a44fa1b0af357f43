// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

func claimStories() map[string]story {
	two := func() *builder { return MakeCloneSet("web").Replicas(2).Volume("data") }
	return map[string]story{
		"each Pod gets its claims before it is created and takes them with it": {
			set: MakeCloneSet("web").Replicas(2).Volume("data").Volume("logs").Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet")
				s.Rest()
				assert.Equal(s.t, []string{"data-web-a", "data-web-b", "logs-web-a", "logs-web-b"}, s.claims())
				s.User("scales to 1", func(b *builder) { b.Replicas(1) })
				s.Rest()
				assert.Equal(s.t, []string{"data-web-b", "logs-web-b"}, s.claims())
			},
		},
		"a Pod that somebody deletes comes back with its data": {
			set: two().ReuseVolumes().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each, which is reused")
				was := s.Claim("data-web-a").UID
				s.Script.Scene("somebody deletes web-a")
				s.DeletePod("web-a")
				s.Reconcile()
				assert.Len(s.t, s.Pods(), 2, "the next Pod waits for the end of the old one")
				assert.Equal(s.t, "1 of 2 updated, 1 available, waiting for the volumes of web-a, which is about to go",
					findCondition(s.controller.set, kruisev1beta1.CloneSetConditionReconciling).Message)
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b"}, s.names())
				assert.Equal(s.t, was, s.Claim("data-web-a").UID)
			},
		},
		"a Pod that does not end is not waited for and its data finds another": {
			set: two().ReuseVolumes().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each, which is reused")
				s.Script.Scene("somebody deletes web-a, whose node is lost")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Finalizers = []string{"the.node/answers"} })
				s.DeletePod("web-a")
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c"}, s.names())
				s.Script.Scene("the node comes back, and one Pod more is wanted")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Finalizers = nil })
				s.Do("kubelet remove web-a")
				s.controller.Edit(func(set *kruisev1beta1.CloneSet) { (&builder{set}).Replicas(3) })
				s.Rest()
				assert.Equal(s.t, []string{"data-web-a", "data-web-b", "data-web-c"}, s.claims())
			},
		},
		"a Pod that somebody deletes takes its claims with it": {
			set: two().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each")
				s.Script.Scene("somebody deletes web-a")
				s.DeletePod("web-a")
				s.Rest()
				s.Script.Scene("somebody deletes web-b while the controllers do not look")
				s.DeletePod("web-b")
				s.Do("kubelet remove web-b")
				s.Rest()
				assert.Equal(s.t, []string{"web-c", "web-d"}, s.names())
				assert.Equal(s.t, []string{"data-web-c", "data-web-d"}, s.claims())
			},
		},
		"a Pod that is named or recreated leaves no data to others": {
			set: two().ReuseVolumes().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each, which is reused")
				s.User("names web-a in podsToDelete", func(b *builder) { b.set.Spec.ScaleStrategy.PodsToDelete = []string{"web-a"} })
				s.Rest()
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"web-d", "web-e"}, s.names())
				assert.Equal(s.t, []string{"data-web-d", "data-web-e"}, s.claims())
			},
		},
		"an answer is lost as a named Pod is deleted and its claims go all the same": {
			set: two().ReuseVolumes().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each, which is reused")
				s.Script.Scene("somebody marks web-a for deletion; the answer to its deletion is lost")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Labels[kruisev1beta1.SpecifiedDeleteKey] = "true" })
				s.Inject(sim.LostAnswer)
				s.Rest()
				assert.Equal(s.t, []string{"data-web-b", "data-web-c"}, s.claims())
			},
		},
		"a claim that is refused keeps its Pod from being created and no other claim is wasted": {
			set: MakeCloneSet("web").Replicas(2).Volume("data").Volume("logs").Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet; the quota holds three claims")
				s.Inject(sim.None, sim.None, sim.None, sim.None, sim.None, sim.Refusal)
				s.Reconcile()
				s.Reconcile()
				assert.Equal(s.t, []string{"web-a"}, s.names())
				failed := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionFailedScale)
				assert.Contains(s.t, failed.Message, "exceeded quota")
				s.Inject(sim.Refusal)
				s.Reconcile()
				assert.Equal(s.t, []string{"data-web-a", "data-web-b", "logs-web-a"}, s.claims())
				s.Script.Scene("the quota is raised")
				s.Rest()
				assert.Equal(s.t, []string{"data-web-a", "data-web-b", "logs-web-a", "logs-web-b"}, s.claims())
			},
		},
		"the controllers are killed between a claim and its Pod": {
			set: MakeCloneSet("web").Volume("data").Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet")
				s.Inject(sim.None, sim.None, sim.Kill)
				s.Reconcile()
				assert.True(s.t, s.Reconcile().Killed)
				s.Script.Scene("others take over")
				s.Rest()
				assert.Equal(s.t, []string{"data-web-b"}, s.claims())
			},
		},
		"a claim that is deleted before its Pod has a node is made again": {
			set: MakeCloneSet("web").Volume("data").Obj(),
			play: func(s *stage) {
				s.Script.Scene("the user creates the CloneSet")
				s.Reconcile()
				s.Reconcile()
				s.Script.Tell("somebody", "deletes claim data-web-a")
				s.DeleteClaim("data-web-a")
				s.Rest()
				assert.Equal(s.t, []string{"data-web-a"}, s.claims())
			},
		},
		"a Pod that is evicted keeps its claims until it is removed": {
			set: two().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each")
				s.Script.Scene("web-a is evicted")
				s.Evict("web-a")
				s.Rest()
				assert.NotNil(s.t, s.Claim("data-web-a"))
				s.Script.Scene("somebody removes web-a")
				s.DeletePod("web-a")
				s.Rest()
				assert.Nil(s.t, s.Claim("data-web-a"))
			},
		},
		"a copy of a Pod is not adopted and the data of the Pod stays": {
			set: two().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each")
				s.Script.Scene("somebody copies web-a to look into it")
				s.Copy("web-a", "debug")
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b"}, s.names())
				assert.Equal(s.t, []string{"data-web-a", "data-web-b"}, s.claims())
				s.User("scales to 0 while the copy runs", func(b *builder) { b.Replicas(0) })
				s.Rest()
				assert.Nil(s.t, s.Claim("data-web-b"))
				assert.Nil(s.t, s.Claim("data-web-a").DeletionTimestamp, "the copy lives on it")
				s.Script.Scene("somebody deletes the copy")
				s.DeletePod("debug")
				s.Rest()
				assert.Nil(s.t, s.Claim("data-web-a"))
			},
		},
		"a copy of a Pod that is gone does not get the data which the next Pod is to have": {
			set: two().ReuseVolumes().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each, which is reused")
				was := s.Claim("data-web-a").UID
				s.Script.Scene("somebody copies web-a to look into it, and a drain takes web-a away")
				s.Copy("web-a", "debug")
				s.DeletePod("web-a")
				s.Rest()
				assert.Equal(s.t, []string{"web-b", "web-c"}, s.names(), "the next Pod cannot have what the copy lives on")
				s.Script.Scene("somebody deletes the copy, and one Pod more is wanted")
				s.DeletePod("debug")
				s.Rest()
				s.controller.Edit(func(set *kruisev1beta1.CloneSet) { (&builder{set}).Replicas(3) })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b", "web-c"}, s.names())
				assert.Equal(s.t, was, s.Claim("data-web-a").UID)
			},
		},
		"a name in podsToDelete gets no new Pod though its data is kept": {
			set: two().ReuseVolumes().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each, which is reused")
				s.Script.Scene("somebody deletes web-a; when it is gone its name is still in podsToDelete")
				s.DeletePod("web-a")
				s.Do("kubelet remove web-a")
				s.controller.Edit(func(set *kruisev1beta1.CloneSet) { set.Spec.ScaleStrategy.PodsToDelete = []string{"web-a"} })
				s.Rest()
				assert.Equal(s.t, []string{"web-b", "web-c"}, s.names())
			},
		},
		"a Pod that somebody gave the ID of another goes and leaves the other its data": {
			set: two().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each")
				s.Script.Scene("somebody gives web-b the ID of web-a, and marks it for deletion")
				s.Edit("web-b", func(pod *corev1.Pod) {
					pod.Labels[kruisev1beta1.CloneSetInstanceIDKey] = "a"
					pod.Labels[kruisev1beta1.SpecifiedDeleteKey] = "true"
				})
				s.Rest()
				assert.Equal(s.t, []string{"data-web-a", "data-web-c"}, s.claims())
			},
		},
		"a Pod is taken out of the set with its data and put back": {
			set: two().ReuseVolumes().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each, which is reused")
				s.Script.Scene("somebody takes web-a out of the set")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Labels["app"] = "looked-at" })
				s.Rest()
				assert.Equal(s.t, []string{"web-b", "web-c"}, s.names())
				assert.Equal(s.t, []string{"data-web-b", "data-web-c"}, s.claims())
				s.Script.Scene("somebody puts web-a back, and names web-c")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Labels["app"] = "web" })
				s.Edit("web-c", func(pod *corev1.Pod) { pod.Labels[kruisev1beta1.SpecifiedDeleteKey] = "true" })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b"}, s.names())
				assert.NotNil(s.t, s.Claim("data-web-a"))
			},
		},
		"templates are removed and claims go with their Pods": {
			set: two().Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a claim each")
				s.User("removes the volumeClaimTemplates and sets the image to app:v2", func(b *builder) {
					b.Image("app:v2").set.Spec.VolumeClaimTemplates = nil
				})
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
				assert.Empty(s.t, s.claims())
			},
		},
		"with the gate a change of claims and image recreates": {
			set: two().InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.controller.policy.RecreateOnClaimChange = true
				s.Given("two Pods with a claim each")
				s.User("adds a volume and sets the image to app:v2", func(b *builder) { b.Volume("logs").Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"data-web-c", "data-web-d", "logs-web-c", "logs-web-d"}, s.claims())
				s.User("removes the volume again, and nothing else", func(b *builder) {
					b.set.Spec.VolumeClaimTemplates = b.set.Spec.VolumeClaimTemplates[:1]
				})
				s.Rest()
				assert.Equal(s.t, []string{"web-c", "web-d"}, s.names(), "a change of the templates alone recreates nothing")
				s.User("sets the image to app:v3", func(b *builder) { b.Image("app:v3") })
				s.Rest()
				assert.Equal(s.t, []string{"data-web-e", "data-web-f"}, s.claims(), "the next update brings it")
				s.User("goes back to the image app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"web-e", "web-f"}, s.names(), "the templates of both revisions are the same by now")
			},
		},
		"with the gate a first volume recreates with the next image": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.controller.policy.RecreateOnClaimChange = true
				s.Given("two Pods without a claim")
				s.User("adds a volume, and nothing else", func(b *builder) { b.Volume("data") })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b"}, s.names())
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"data-web-c", "data-web-d"}, s.claims())
			},
		},
		"with the gate InPlaceOnly updates in place whatever the claims": {
			set: two().InPlaceOnly().Obj(),
			play: func(s *stage) {
				s.controller.policy.RecreateOnClaimChange = true
				s.Given("two Pods with a claim each")
				s.User("adds a volume and sets the image to app:v2", func(b *builder) { b.Volume("logs").Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-b"}, s.names())
				assert.Equal(s.t, []string{"data-web-a", "data-web-b"}, s.claims())
			},
		},
	}
}

// claims are the names of the claims that the set owns.
func (s *stage) claims() []string {
	var names []string
	for _, claim := range s.Claims(s.controller.set.UID) {
		names = append(names, claim.Name)
	}
	return names
}
