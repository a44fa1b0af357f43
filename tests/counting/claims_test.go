// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package counting_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/resource"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestAChangeOfClaimsAndImageRecreatesPods(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(3)
	s.Create(support.MakeCloneSet("web").Replicas(1).Volume("data", class).Obj())
	s.WaitReady("web")
	before, claims := s.Pods(web), s.Claims()

	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "the Pod is updated", support.IsUpdated(1))
	for name, pod := range s.Pods(web) {
		assert.Equal(t, before[name].UID, pod.UID, "without a change of the claims it is updated in place")
	}

	set := s.CloneSet("web")
	templates := set.Spec.VolumeClaimTemplates
	templates[0].Spec.Resources.Requests["storage"] = resource.MustParse("2Mi")
	containers := set.Spec.Template.Spec.Containers
	containers[0].Image = support.ImageV1
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"volumeClaimTemplates":`+support.JSON(templates)+`,"template":{"spec":{"containers":`+support.JSON(containers)+`}}}}`)
	s.WaitFor("web", "the Pod is replaced", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.ObservedGeneration == set.Generation && support.IsUpdated(1)(set)
	})
	for name := range s.Pods(web) {
		assert.NotContains(t, before, name)
	}
	s.Eventually("only the new claim is left", func() bool {
		left := s.Claims()
		for name := range left {
			if _, isOld := claims[name]; isOld {
				return false
			}
		}
		return len(left) == 1
	})
}
