// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// log is what the container main of a Pod has written.
func log(s *support.Suite, pod string) string {
	s.Helper()
	text := ""
	s.Eventually("the log of "+pod+" can be read", func() bool {
		out, err := support.Kubectl(s.Context(), nil, "-n", s.Namespace, "logs", pod, "-c", "main")
		text = strings.TrimSpace(out)
		return err == nil && text != ""
	})
	return text
}

func TestEachPodHasItsOwnVolumesAndTakesThemAlong(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(4)
	s.Create(support.MakeCloneSet("web").Replicas(2).Volume("data", class).Volume("logs", class).Obj())
	set := s.WaitReady("web")
	claims := s.Claims()
	require.Len(t, claims, 4)
	for name, pod := range s.Pods(web) {
		id := pod.Labels[kruisev1beta1.CloneSetInstanceIDKey]
		assert.Equal(t, "web-"+id, name)
		for _, template := range []string{"data", "logs"} {
			claim := claims[template+"-web-"+id]
			assert.Equal(t, map[string]string{"app": "web", kruisev1beta1.CloneSetInstanceIDKey: id}, claim.Labels)
			assert.True(t, metav1.IsControlledBy(&claim, set))
			assert.Equal(t, corev1.ClaimBound, claim.Status.Phase)
		}
	}
	replicas(s, "1")
	s.WaitFor("web", "one Pod is left", isAvailable(1))
	s.Eventually("two claims are left, those of the Pod", func() bool {
		left := s.Claims()
		for name := range s.Pods(web) {
			if _, found := left["data-"+name]; !found {
				return false
			}
		}
		return len(left) == 2
	})
	require.NoError(t, s.Resources.Delete(t.Context(), set, resources.WithDeletePropagation(string(metav1.DeletePropagationForeground))))
	s.Eventually("the last ones go with the set", func() bool { return len(s.Claims()) == 0 })
}

func TestAReusedVolumeKeepsItsData(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(3)
	s.Create(support.MakeCloneSet("web").Replicas(2).Volume("data", class).Keeper("data").ReuseVolumes().Obj())
	s.WaitReady("web")
	before := s.Claims()
	pods := s.Pods(web)
	victim := pods[support.SortedKeys(pods)[0]]
	assert.Equal(t, "start 1", log(s, victim.Name))
	require.NoError(t, s.Resources.Delete(t.Context(), &victim))
	s.Eventually("a Pod of the same name takes its place", func() bool {
		again, there := s.Pods(web)[victim.Name]
		return there && again.UID != victim.UID
	})
	s.WaitFor("web", "two Pods are available", isAvailable(2))
	assert.Equal(t, "start 2", log(s, victim.Name), "the data is still there")
	after := s.Claims()
	require.Len(t, after, 2)
	for name := range before {
		assert.Equal(t, before[name].UID, after[name].UID)
	}

	replicas(s, "0")
	s.Eventually("scaling in removes the claims all the same", func() bool { return len(s.Claims()) == 0 })
}

func TestAVolumeThatIsNotReusedGoesWithItsPod(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(2)
	s.Create(support.MakeCloneSet("web").Replicas(1).Volume("data", class).Keeper("data").Obj())
	s.WaitReady("web")
	pods := s.Pods(web)
	victim := pods[support.SortedKeys(pods)[0]]
	require.NoError(t, s.Resources.Delete(t.Context(), &victim))
	s.Eventually("its claim is gone, and another is there", func() bool {
		claims := s.Claims()
		_, there := claims["data-"+victim.Name]
		return !there && len(claims) == 1
	})
	s.WaitFor("web", "one Pod is available", isAvailable(1))
	assert.Equal(t, "start 1", log(s, support.SortedKeys(s.Pods(web))[0]), "the data is gone")
}

func TestARecreatedPodGetsNewVolumes(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(4)
	s.Create(support.MakeCloneSet("web").Replicas(2).Policy(kruisev1beta1.RecreatePodUpdatePolicyType).Volume("data", class).ReuseVolumes().Obj())
	s.WaitReady("web")
	before := s.Claims()
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(2))
	s.Eventually("two claims are left", func() bool { return len(s.Claims()) == 2 })
	for name := range s.Claims() {
		assert.NotContains(t, before, name)
	}
}

func TestAPodThatIsLetGoKeepsItsVolume(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(2)
	s.Create(support.MakeCloneSet("web").Replicas(1).Volume("data", class).Keeper("data").Obj())
	s.WaitReady("web")
	released := support.SortedKeys(s.Pods(web))[0]
	s.Patch(&corev1.Pod{}, released, `{"metadata":{"labels":{"app":"elsewhere"}}}`)
	s.Eventually("its claim follows it", func() bool {
		claim := s.Claims()["data-"+released]
		return len(claim.OwnerReferences) == 1 && claim.OwnerReferences[0].Kind == "Pod" && claim.OwnerReferences[0].Name == released
	})
	s.WaitFor("web", "another Pod is available", isAvailable(1))
	claim := s.Claims()["data-"+released]
	assert.Nil(t, claim.DeletionTimestamp)
	require.NoError(t, s.Resources.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: released}}))
	s.Eventually("and goes with it", func() bool { return s.IsGone(&claim) })
}

// TestADebugCopyIsLeftAlone copies a Pod as people do who want to look into it: labels, volume and all.
func TestADebugCopyIsLeftAlone(t *testing.T) {
	s := support.Begin(t)
	class := s.Volumes(2)
	s.Create(support.MakeCloneSet("web").Replicas(2).Volume("data", class).Keeper("data").Obj())
	s.WaitReady("web")
	pods, claims := s.Pods(web), s.Claims()
	original := pods[support.SortedKeys(pods)[0]]
	claim := "data-" + original.Name
	replica := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "debug", Labels: original.Labels}, Spec: *original.Spec.DeepCopy()}
	s.Create(replica)
	s.Eventually("the copy runs", func() bool { return s.Pods(web)["debug"].Status.Phase == corev1.PodRunning })
	s.Never("the set takes the copy, or loses a Pod or a claim", 5*time.Second, func() bool {
		now, copied := s.Pods(web), s.Pods(web)["debug"]
		return len(now) != 3 || metav1.GetControllerOf(&copied) != nil || len(s.Claims()) != len(claims) || s.Claims()[claim].DeletionTimestamp != nil
	})
	support.RequireSamePods(t, pods, map[string]corev1.Pod{original.Name: s.Pods(web)[original.Name], support.SortedKeys(pods)[1]: s.Pods(web)[support.SortedKeys(pods)[1]]})

	replicas(s, "0")
	s.Eventually("only the copy is left", func() bool { return len(s.Pods(web)) == 1 })
	s.Eventually("only its claim is left", func() bool { return len(s.Claims()) == 1 })
	assert.Nil(t, s.Claims()[claim].DeletionTimestamp, "the copy lives on it")
	require.NoError(t, s.Resources.Delete(t.Context(), replica))
	s.Eventually("the claim goes with the copy", func() bool { return len(s.Claims()) == 0 })
}
