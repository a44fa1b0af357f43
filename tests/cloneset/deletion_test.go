// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// nameToDelete names a Pod in the spec of the set.
func nameToDelete(s *support.Suite, pod string) {
	s.Helper()
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"scaleStrategy":{"podsToDelete":["`+pod+`"]}}}`)
}

// holdNotReady takes a Pod out of service on behalf of somebody else than the controllers.
func holdNotReady(s *support.Suite, pod string) {
	s.Helper()
	patch := `{"status":{"conditions":[{"type":"KruisePodReady","status":"False","message":"[{\"userAgent\":\"Test\",\"key\":\"maintenance\"}]"}]}}`
	object := &corev1.Pod{}
	object.SetName(pod)
	object.SetNamespace(s.Namespace)
	require.NoError(s, s.Resources.PatchStatus(s.Context(), object, k8s.Patch{PatchType: types.StrategicMergePatchType, Data: []byte(patch)}))
	s.Eventually(pod+" is not ready", func() bool { return !support.IsReady(s.Pods(web)[pod]) })
}

// TestAPodThatWaitsForItsDeletion plays what was published about Pods in PreparingDelete, counted and left out of the count.
func TestAPodThatWaitsForItsDeletion(t *testing.T) {
	t.Parallel()
	for sentence, tc := range map[string]struct {
		isExcluded bool
		// plan lets the set plan the deletion of one Pod and be in need of another.
		plan func(s *support.Suite, names []string)
		// wantNext are the Pods that there are then.
		wantNext int
		// wantBack says that the Pod comes back by itself.
		wantBack bool
	}{
		"it comes back when the replicas grow again": {
			plan: scaleInAndOut, wantNext: 2, wantBack: true,
		},
		"it comes back even where it does not count": {
			plan: scaleInAndOut, isExcluded: true, wantNext: 2, wantBack: true,
		},
		"it was named, and is replaced when it goes": {
			plan: scaleInByNameAndOut, wantNext: 2,
		},
		"it was named and does not count, so that it is replaced at once": {
			plan: scaleInByNameAndOut, isExcluded: true, wantNext: 3,
		},
		"it was labelled, and is replaced when it goes": {
			plan: labelToDelete, wantNext: 2,
		},
		"it was labelled and does not count, so that it is replaced at once": {
			plan: labelToDelete, isExcluded: true, wantNext: 3,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := beginHooked(t)
			set := support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Hooked(drain(false)).Lifecycle(pub.Lifecycle{PreDelete: drain(false)}).Obj()
			set.Spec.ScaleStrategy.ExcludePreparingDelete = tc.isExcluded
			s.Create(set)
			s.WaitReady("web")
			before := s.Pods(web)
			tc.plan(s, support.SortedKeys(before))
			if tc.wantBack {
				s.WaitReady("web")
				support.RequireSamePods(t, before, s.Pods(web))
				return
			}
			s.Eventually("as many Pods are there as wanted", func() bool { return len(s.Pods(web)) == tc.wantNext })
			s.Never("there are other Pods", 2*time.Second, func() bool { return len(s.Pods(web)) != tc.wantNext })
			leaving := awaitState(s, pub.LifecycleStatePreparingDelete, true).Name
			assert.Contains(t, before, leaving)
			letGo(s, leaving)
			s.WaitFor("web", "two serve", isAvailable(2))
			assert.NotContains(t, s.Pods(web), leaving)
		})
	}
}

func scaleInAndOut(s *support.Suite, _ []string) {
	replicas(s, "1")
	awaitState(s, pub.LifecycleStatePreparingDelete, true)
	replicas(s, "2")
}

func scaleInByNameAndOut(s *support.Suite, names []string) {
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"replicas":1,"scaleStrategy":{"podsToDelete":["`+names[1]+`"]}}}`)
	assert.Equal(s, names[1], awaitState(s, pub.LifecycleStatePreparingDelete, true).Name)
	replicas(s, "2")
}

func labelToDelete(s *support.Suite, names []string) {
	s.Patch(&corev1.Pod{}, names[1], `{"metadata":{"labels":{"apps.kruise.io/specified-delete":"true"}}}`)
	assert.Equal(s, names[1], awaitState(s, pub.LifecycleStatePreparingDelete, true).Name)
}

// TestANamedPodIsReplacedWithinTheLimits plays what was published about the deletion of a named Pod while another one does not serve.
func TestANamedPodIsReplacedWithinTheLimits(t *testing.T) {
	t.Parallel()
	for sentence, tc := range map[string]struct {
		maxUnavailable string
		// named is which of three Pods is named; the first does not serve.
		named               int
		wantLeast, wantMost int
	}{
		"two may be unavailable and one is: it is deleted at once": {
			maxUnavailable: "2", named: 1, wantLeast: 1, wantMost: 3,
		},
		"one may be unavailable and one is: another comes first": {
			maxUnavailable: "1", named: 1, wantLeast: 2, wantMost: 4,
		},
		"the named Pod is the one that does not serve: it is deleted at once": {
			maxUnavailable: "1", named: 0, wantLeast: 2, wantMost: 3,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := support.Begin(t)
			s.Create(support.MakeCloneSet("web").Replicas(3).MaxUnavailable(tc.maxUnavailable).MaxSurge("1").Obj())
			s.WaitReady("web")
			names := support.SortedKeys(s.Pods(web))
			holdNotReady(s, names[0])
			s.WaitFor("web", "the controllers see it", func(set *kruisev1beta1.CloneSet) bool { return set.Status.AvailableReplicas == 2 })
			witness := s.Watch(web)
			nameToDelete(s, names[tc.named])
			s.Eventually("it is gone, and replaced", func() bool {
				pods := s.Pods(web)
				_, isThere := pods[names[tc.named]]
				return !isThere && len(pods) == 3
			})
			s.WaitFor("web", "the others serve", func(set *kruisev1beta1.CloneSet) bool {
				return set.Status.Replicas == 3 && set.Status.AvailableReplicas == 2+count(tc.named == 0)
			})
			assert.Equal(t, tc.wantLeast, witness.Least(), "the fewest ready Pods")
			assert.Equal(t, tc.wantMost, witness.Most(), "the most Pods")
		})
	}
}

func count(is bool) int32 {
	if is {
		return 1
	}
	return 0
}
