// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package published_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// removeAll deletes all Pods, and waits until others serve.
func removeAll(s *support.Suite) (before map[string]corev1.Pod) {
	s.Helper()
	before = s.Pods(web)
	remove(s, support.SortedKeys(before)...)
	s.Eventually("all Pods are others", func() bool {
		after := s.Pods(web)
		for name, pod := range after {
			if before[name].UID == pod.UID {
				return false
			}
		}
		return len(after) == len(before)
	})
	becomes(s, available())
	return before
}

// requireOwned says that as many claims are there as there should be, and that the set controls each.
func requireOwned(s *support.Suite, claims map[string]corev1.PersistentVolumeClaim, n int) {
	s.Helper()
	set := s.CloneSet("web")
	require.Len(s, claims, n)
	for name, claim := range claims {
		assert.True(s, metav1.IsControlledBy(&claim, set), name)
		assert.Equal(s, "CloneSet", claim.OwnerReferences[0].Kind)
	}
}

func TestAllPodsAreDeletedAndTheirClaimsReused(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(8)
	s.Create(support.MakeCloneSet("web").Replicas(4).Deadline(600).Volume("vol1", class).Volume("vol2", class).ReuseVolumes().Obj())
	becomes(s, available())
	claims := s.Claims()
	requireOwned(s, claims, 8)
	before := removeAll(s)
	assert.Equal(t, support.SortedKeys(before), support.SortedKeys(s.Pods(web)), "the Pods have the same names, and so the same IDs")
	after := s.Claims()
	requireOwned(s, after, 8)
	for name := range claims {
		assert.Equal(t, claims[name].UID, after[name].UID, name)
	}
}

func TestAllPodsAreDeletedWithTheirClaims(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(8)
	s.Create(support.MakeCloneSet("web").Replicas(2).Deadline(600).Volume("vol1", class).Volume("vol2", class).Obj())
	becomes(s, available())
	claims := s.Claims()
	requireOwned(s, claims, 4)
	removeAll(s)
	s.Eventually("the claims are others", func() bool {
		after := s.Claims()
		for name := range after {
			if _, was := claims[name]; was {
				return false
			}
		}
		return len(after) == 4
	})
	requireOwned(s, s.Claims(), 4)
}

// change applies an image and sizes of the two volumes.
func change(s *support.Suite, image, vol1, vol2 string) {
	s.Helper()
	set := s.CloneSet("web")
	set.Spec.Template.Spec.Containers[0].Image = image
	for i, size := range []string{vol1, vol2} {
		set.Spec.VolumeClaimTemplates[i].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(size)
	}
	patch(s, `{"volumeClaimTemplates":`+support.JSON(set.Spec.VolumeClaimTemplates)+`,"template":{"spec":{"containers":`+support.JSON(set.Spec.Template.Spec.Containers)+`}}}`)
}

// requireSizes says what the claims of the one Pod ask for.
func requireSizes(s *support.Suite, vol1, vol2 string) {
	s.Helper()
	name := only(s).Name
	s.Eventually("two claims are left", func() bool { return len(s.Claims()) == 2 })
	claims := s.Claims()
	for template, want := range map[string]string{"vol1": vol1, "vol2": vol2} {
		size := claims[template+"-"+name].Spec.Resources.Requests[corev1.ResourceStorage]
		assert.Equal(s, want, size.String(), template)
	}
}

func TestClaimTemplatesChange(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(8)
	s.Create(support.MakeCloneSet("web").Replicas(1).Deadline(600).Volume("vol1", class).Volume("vol2", class).Obj())
	becomes(s, available())
	updated := func() {
		s.WaitFor("web", "the Pod is updated", func(set *kruisev1beta1.CloneSet) bool {
			return set.Status.Replicas == 1 && set.Status.UpdatedAvailableReplicas == 1 && progressOf(set) == available()
		})
	}
	requireSizes(s, "1Mi", "1Mi")

	first := only(s)
	change(s, support.ImageV2, "2Mi", "1Mi")
	updated()
	second := only(s)
	assert.NotEqual(t, first.Name, second.Name, "an image and a size: recreated")
	requireSizes(s, "2Mi", "1Mi")

	change(s, support.ImageV2, "2Mi", "2Mi")
	s.Never("a size alone changes anything", 3*time.Second, func() bool { return only(s).UID != second.UID })
	updated()
	requireSizes(s, "2Mi", "1Mi")

	change(s, support.ImageV3, "2Mi", "2Mi")
	updated()
	third := only(s)
	assert.NotEqual(t, second.Name, third.Name, "an image, after a size: recreated")
	requireSizes(s, "2Mi", "2Mi")

	patch(s, `{"updateStrategy":{"rollingUpdate":{"podUpdatePolicy":"InPlaceOnly"}}}`)
	change(s, support.ImageV1, "2Mi", "2Mi")
	updated()
	assert.Equal(t, third.UID, only(s).UID, "an image alone: in place")
	change(s, support.ImageV2, "3Mi", "3Mi")
	updated()
	assert.Equal(t, third.UID, only(s).UID, "and whatever the sizes, where it must not be recreated")
	requireSizes(s, "2Mi", "2Mi")
}
