// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/keelson/keelson/controllers/plan/revision"
)

func historyStories() map[string]story {
	return map[string]story{
		"the history keeps as many unused revisions as its limit": {
			set: MakeCloneSet("web").Replicas(1).InPlaceIfPossible().RevisionHistoryLimit(2).Obj(),
			play: func(s *stage) {
				s.Given("one Pod of app:v1")
				for n := 2; n <= 5; n++ {
					image := fmt.Sprintf("app:v%d", n)
					s.User("sets the image to "+image, func(b *builder) { b.Image(image) })
					s.Rest()
				}
				assert.Len(s.t, s.Revisions(), 3, "two unused ones and the one in use")
			},
		},
		"a rollback takes the old revision out of the history": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.Given("two Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				s.User("goes back to app:v1", func(b *builder) { b.Image("app:v1") })
				s.Rest()
				require.Len(s.t, s.Revisions(), 2)
				assert.Equal(s.t, "r1", s.Alias(s.controller.set.Status.UpdateRevision))
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a status that names a revision which is gone is put right by what the Pods have": {
			set: MakeCloneSet("web").Replicas(4).InPlaceIfPossible().Partition("2").Obj(),
			play: func(s *stage) {
				s.Given("four Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				was := s.controller.set.Status.CurrentRevision
				s.Script.Scene("the status names a revision that nobody knows")
				s.controller.set = s.controller.set.DeepCopy()
				s.controller.set.Status.CurrentRevision = "web-gone"
				s.DeletePod("web-d")
				s.Rest()
				assert.Equal(s.t, was, s.controller.set.Status.CurrentRevision)
				assert.Equal(s.t, 2, s.Tally().Updated, "the Pod that was missing has the old revision")
			},
		},
		"a revision whose name is taken gets another": {
			set: MakeCloneSet("web").Replicas(1).InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.Script.Scene("given a revision of other data under the name that the new one wants")
				s.AddRevision(collidingWith(s, MakeCloneSet("web").Obj().Spec.Template))
				s.Script.Scene("the user creates the CloneSet")
				s.Rest()
				assert.EqualValues(s.t, 1, *s.controller.set.Status.CollisionCount)
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
	}
}

// collidingWith is a revision with the name that the template's own would get, but other data.
func collidingWith(s *stage, template corev1.PodTemplateSpec) *appsv1.ControllerRevision {
	set := s.controller.set
	rev, err := revision.New(revision.Owner{Object: set, Reference: metav1.OwnerReference{}, Template: &template})
	require.NoError(s.t, err)
	rev.Data = runtime.RawExtension{Raw: []byte(`{"spec":{"template":{"$patch":"replace"}}}`)}
	return rev
}
