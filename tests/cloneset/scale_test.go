// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func replicas(s *support.Suite, n string) {
	s.Helper()
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"replicas":`+n+`}}`)
}

func isAvailable(n int32) func(*kruisev1beta1.CloneSet) bool {
	return func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.Replicas == n && set.Status.AvailableReplicas == n
	}
}

func TestScalingOutAddsPodsWithTheirMarks(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Obj())
	set := s.WaitReady("web")
	replicas(s, "6")
	s.WaitFor("web", "six Pods are available", isAvailable(6))
	for name, pod := range s.Pods(web) {
		assert.Equal(t, "web-"+pod.Labels[kruisev1beta1.CloneSetInstanceIDKey], name)
		assert.Equal(t, set.Status.UpdateRevision, pod.Labels[appsv1.ControllerRevisionHashLabelKey])
		assert.Equal(t, strings.TrimPrefix(set.Status.UpdateRevision, "web-"), pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
		assert.Equal(t, "Normal", pod.Labels["lifecycle.apps.kruise.io/state"])
		assert.Equal(t, set.UID, metav1.GetControllerOf(&pod).UID)
		assert.Contains(t, pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: "InPlaceUpdateReady"})
	}
	s.AwaitEvent("web", "SuccessfulCreate", "")
}

func TestScalingInDeletesTheLeastUsefulPodsFirst(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(4).Obj())
	s.WaitReady("web")
	// Two Pods cost little.
	names := support.SortedKeys(s.Pods(web))
	for _, name := range names[:2] {
		s.Patch(&corev1.Pod{}, name, `{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"-10"}}}`)
	}
	s.CatchUp(web)
	replicas(s, "2")
	s.WaitFor("web", "two Pods are left", isAvailable(2))
	assert.Equal(t, names[2:], support.SortedKeys(s.Pods(web)), "a low deletion cost goes first")
	s.AwaitEvent("web", "SuccessfulDelete", names[0])

	replicas(s, "0")
	set := s.WaitReady("web")
	assert.Zero(t, set.Status.Replicas, "scaled to nothing is Ready")
}

func TestAPodThatCannotRunGoesBeforeOneThatServes(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Obj())
	s.WaitReady("web")
	good := support.SortedKeys(s.Pods(web))
	// The third Pod comes from a template whose image is missing.
	rolling(s, "web", `{"partition":2}`)
	s.SetImage("web", support.ImageMissing)
	replicas(s, "3")
	s.WaitFor("web", "a Pod that cannot run", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.Replicas == 3 && set.Status.UpdatedReplicas == 1 && set.Status.AvailableReplicas == 2
	})
	rolling(s, "web", `{"partition":2}`)
	replicas(s, "2")
	s.WaitFor("web", "two Pods are left", isAvailable(2))
	assert.Equal(t, good, support.SortedKeys(s.Pods(web)))
}

func TestTheScaleSubresourceScales(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).Obj())
	set := s.WaitReady("web")
	s.Scale(set, 3)
	set = s.WaitFor("web", "three Pods are available", isAvailable(3))
	assert.Equal(t, web, set.Status.LabelSelector)
}

func TestASpecifiedPodIsReplaced(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).MaxUnavailable("1").Obj())
	s.WaitReady("web")
	victim := support.SortedKeys(s.Pods(web))[0]
	witness := s.Watch(web)
	s.Patch(&corev1.Pod{}, victim, `{"metadata":{"labels":{"apps.kruise.io/specified-delete":"true"}}}`)
	s.Eventually("it is gone and another is there", func() bool {
		pods := s.Pods(web)
		_, there := pods[victim]
		return !there && len(pods) == 3
	})
	s.WaitFor("web", "three Pods are available", isAvailable(3))
	assert.GreaterOrEqual(t, witness.Least(), 2)
}

func TestAdoptionAndRelease(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Obj())
	s.WaitReady("web")
	released := support.SortedKeys(s.Pods(web))[0]
	s.Patch(&corev1.Pod{}, released, `{"metadata":{"labels":{"app":"elsewhere"}}}`)
	s.Eventually("a Pod that no longer matches is released, not deleted", func() bool {
		other, there := s.Pods("app=elsewhere")[released]
		return there && metav1.GetControllerOf(&other) == nil
	})
	s.Eventually("another takes its place", func() bool { return len(s.Pods(web)) == 2 })
	s.WaitFor("web", "two Pods are available", isAvailable(2))

	s.Patch(&corev1.Pod{}, released, `{"metadata":{"labels":{"app":"web"}}}`)
	s.Eventually("it is adopted again, and one Pod is too many", func() bool {
		pods := s.Pods(web)
		if len(pods) != 2 {
			return false
		}
		for _, pod := range pods {
			if metav1.GetControllerOf(&pod) == nil {
				return false
			}
		}
		return true
	})
}

func TestASetThatIsDeletedAndMadeAgainKeepsItsOrphans(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(2).Obj()
	s.Create(set)
	s.WaitReady("web")
	before := s.Pods(web)
	require.NoError(t, s.Resources.Delete(t.Context(), set, resources.WithDeletePropagation(string(metav1.DeletePropagationOrphan))))
	s.Eventually("the Pods are orphans", func() bool {
		for _, pod := range s.Pods(web) {
			if metav1.GetControllerOf(&pod) != nil {
				return false
			}
		}
		return true
	})
	s.Eventually("the set is gone", func() bool { return s.IsGone(set) })
	s.Create(support.MakeCloneSet("web").Replicas(2).Obj())
	s.WaitReady("web")
	support.RequireSamePods(t, before, s.Pods(web))
}

func TestRevisionsHaveNumbersNamesAndALimit(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).History(2).Obj())
	first := s.WaitReady("web").Status.UpdateRevision
	for _, image := range []string{support.ImageV2, support.ImageV3, "keelson/sleeper:v1", "keelson/sleeper:v2"} {
		s.SetImage("web", image)
		s.WaitFor("web", "updated to "+image, support.IsUpdated(1))
	}
	s.Eventually("the history holds its limit beside the revision in use", func() bool { return len(revisions(s)) == 3 })
	for _, rev := range revisions(s) {
		assert.Equal(t, rev.Name, "web-"+rev.Labels["controller.kubernetes.io/hash"])
		assert.Contains(t, string(rev.Data.Raw), `"$patch":"replace"`)
		assert.NotEqual(t, first, rev.Name, "the oldest goes first")
	}

	s.SetImage("web", support.ImageV3)
	set := s.WaitFor("web", "back at an older image", support.IsUpdated(1))
	newest := int64(0)
	for _, rev := range revisions(s) {
		newest = max(newest, rev.Revision)
	}
	for _, rev := range revisions(s) {
		if rev.Name == set.Status.UpdateRevision {
			assert.Equal(t, newest, rev.Revision, "a template that comes back becomes the newest revision")
		}
	}
	assert.Len(t, revisions(s), 3, "and makes no new one")
}

func revisions(s *support.Suite) []appsv1.ControllerRevision {
	s.Helper()
	var list appsv1.ControllerRevisionList
	require.NoError(s, s.Resources.WithNamespace(s.Namespace).List(s.Context(), &list))
	return list.Items
}

func TestRecreationKeepsToMaxUnavailable(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(4).Policy(kruisev1beta1.RecreatePodUpdatePolicyType).MaxUnavailable("1").Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(4))
	for name := range s.Pods(web) {
		assert.NotContains(t, before, name)
	}
	assert.GreaterOrEqual(t, witness.Least(), 3)
	assert.LessOrEqual(t, witness.Most(), 4)
}

func TestASurgeGoesBeforeTheUpdate(t *testing.T) {
	for name, policy := range map[string]kruisev1beta1.PodUpdatePolicyType{
		"by recreation": kruisev1beta1.RecreatePodUpdatePolicyType,
		"in place":      kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType,
	} {
		t.Run(name, func(t *testing.T) {
			s := support.Begin(t)
			s.Create(support.MakeCloneSet("web").Replicas(3).Policy(policy).MaxUnavailable("0").MaxSurge("1").Obj())
			s.WaitReady("web")
			witness := s.Watch(web)
			s.SetImage("web", support.ImageV2)
			s.WaitFor("web", "all Pods are updated and the surge is gone", func(set *kruisev1beta1.CloneSet) bool {
				return support.IsUpdated(3)(set) && set.Status.Replicas == 3
			})
			assert.GreaterOrEqual(t, witness.Least(), 3, "nothing may be unavailable")
			assert.Equal(t, 4, witness.Most(), "one Pod more than the replicas")
		})
	}
}

func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).Obj())
	s.WaitReady("web")
	// The node agent reports a moment after the last container started; after that there is silence.
	s.Eventually("nothing is written for five seconds", func() bool {
		before := versions(s)
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
			if !maps.Equal(before, versions(s)) {
				return false
			}
		}
		return true
	})
}

// versions are the resourceVersions of the set and its Pods.
func versions(s *support.Suite) map[string]string {
	s.Helper()
	found := map[string]string{"": s.CloneSet("web").ResourceVersion}
	for name, pod := range s.Pods(web) {
		found[name] = pod.ResourceVersion
	}
	return found
}
