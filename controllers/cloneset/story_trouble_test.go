// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/revision"
	"github.com/keelson/keelson/controllers/plan/sim"
)

func troubleStories() map[string]story {
	three := func() *builder { return MakeCloneSet("web").Replicas(3).InPlaceIfPossible().MaxUnavailable("1") }
	// breakImage starts an update to an image that nobody can pull, and waits until it goes no further.
	breakImage := func(s *stage) {
		s.Images["app:gone"] = sim.Image{Missing: true}
		s.Given("three Pods of app:v1")
		s.User("sets an image that cannot be pulled", func(b *builder) { b.Image("app:gone") })
		s.Rest()
		assert.Equal(s.t, 2, s.Tally().Available, "the damage ends at maxUnavailable")
	}
	return map[string]story{
		"an image that cannot be pulled is replaced by another": {
			set: three().Obj(),
			play: func(s *stage) {
				breakImage(s)
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"an image that cannot be pulled is rolled back": {
			set: three().Obj(),
			play: func(s *stage) {
				breakImage(s)
				s.User("goes back to app:v1", func(b *builder) { b.Image("app:v1") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"an image that cannot be pulled is rolled back while another Pod waits for its deletion": {
			set: three().Obj(),
			play: func(s *stage) {
				breakImage(s)
				s.User("goes back to app:v1 and names web-b in podsToDelete", func(b *builder) {
					b.Image("app:v1").set.Spec.ScaleStrategy.PodsToDelete = []string{"web-b"}
				})
				s.Rest()
				assert.Equal(s.t, []string{"web-a", "web-c", "web-d"}, s.names())
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"an image that crashes is replaced by another": {
			set: three().Obj(),
			play: func(s *stage) {
				s.Images["app:bad"] = sim.Image{Crashes: true}
				s.Given("three Pods of app:v1")
				s.User("sets an image that crashes", func(b *builder) { b.Image("app:bad") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().Available, "the damage ends at maxUnavailable")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"a Pod is deleted by hand during its update": {
			set: three().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Do("kubelet stop web-a/main")
				s.Script.Tell("somebody", "deletes web-a")
				s.DeletePod("web-a")
				s.Rest()
				assert.Equal(s.t, []string{"web-b", "web-c", "web-d"}, s.names())
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"the controllers are killed between the two writes of an update": {
			set: three().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Inject(sim.None, sim.Kill)
				assert.True(s.t, s.Reconcile().Killed)
				s.Script.Scene("others take over")
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"the controllers are killed between the two writes and the wish is withdrawn": {
			set: three().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Inject(sim.None, sim.Kill)
				assert.True(s.t, s.Reconcile().Killed)
				s.User("goes back to app:v1", func(b *builder) { b.Image("app:v1") })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
				for _, pod := range s.Pods() {
					assert.EqualValues(s.t, 0, pod.Status.ContainerStatuses[0].RestartCount, "no container restarts")
				}
			},
		},
		"a conflict between the two writes is overcome": {
			set: three().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Inject(sim.None, sim.Conflict)
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"the state of a running update is lost": {
			set: three().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Script.Scene("somebody writes garbage over the state of web-a")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Annotations[pub.InPlaceUpdateStateKey] = "garbage" })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
			// NOTE: nobody knows any more what the Pod waits for; to end too early is better than to wait for ever.
			allowed: []string{sim.ReadyWhenFollowed},
		},
		"annotations that cannot be read are reported once and healed": {
			set: three().GracePeriodSeconds(5).Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.Script.Scene("somebody writes garbage into our annotations of web-b")
				s.Edit("web-b", func(pod *corev1.Pod) {
					pod.Annotations[pub.InPlaceUpdateStateKey] = "{"
					pod.Annotations[pub.InPlaceUpdateGraceKey] = "[1]"
				})
				s.Rest()
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Script.Scene("somebody writes garbage over the update that is held back")
				s.Edit("web-a", func(pod *corev1.Pod) { pod.Annotations[pub.InPlaceUpdateGraceKey] = "garbage" })
				s.Rest()
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
				for _, pod := range s.Pods() {
					assert.Equal(s.t, "app:v2", s.Runs(pod, "main"))
				}
			},
		},
		"a Pod without the label pod-template-hash gets it": {
			set: three().Obj(),
			play: func(s *stage) {
				s.Given("three Pods of app:v1")
				s.Script.Scene("web-b is one of an older release")
				s.Edit("web-b", func(pod *corev1.Pod) { delete(pod.Labels, appsv1.DefaultDeploymentUniqueLabelKey) })
				s.Rest()
				for _, pod := range s.Pods() {
					assert.Equal(s.t, revision.ShortHash(pod.Labels[appsv1.ControllerRevisionHashLabelKey]), pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
				}
			},
		},
		"an update that was held back and whose notes are lost is made all the same": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().MaxUnavailable("2").GracePeriodSeconds(5).Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Script.Scene("somebody removes what web-a remembers, and writes nonsense into what web-b waits for")
				s.Edit("web-a", func(pod *corev1.Pod) { delete(pod.Annotations, pub.InPlaceUpdateStateKey) })
				s.Edit("web-b", func(pod *corev1.Pod) { pod.Annotations[pub.InPlaceUpdateGraceKey] = `{"graceSeconds":"5"}` })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
				for _, pod := range s.Pods() {
					assert.Equal(s.t, "app:v2", s.Runs(pod, "main"))
				}
			},
		},
	}
}
