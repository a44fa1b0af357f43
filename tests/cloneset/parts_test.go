// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// following is an environment variable that follows an annotation of the Pod.
func following(name, annotation string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + annotation + "']"}}}
}

// annotate changes an annotation of the template; null removes it.
func annotate(s *support.Suite, name, key, value string) {
	s.Helper()
	s.Patch(&kruisev1beta1.CloneSet{}, name, `{"spec":{"template":{"metadata":{"annotations":{"`+key+`":`+value+`}}}}}`)
}

// configOf is what the server of a Pod has in its environment as CONFIG.
func configOf(s *support.Suite, pod string) string {
	s.Helper()
	var answer struct{ Env []string }
	require.NoError(s, json.Unmarshal(s.Get(pod, "8080", "/"), &answer))
	for _, variable := range answer.Env {
		if value, found := strings.CutPrefix(variable, "CONFIG="); found {
			return value
		}
	}
	return ""
}

func updateOf(s *support.Suite, pod corev1.Pod) pub.InPlaceUpdateState {
	s.Helper()
	state, isSet := support.UpdateOf(pod)
	require.True(s, isSet, "%s says nothing of an update", pod.Name)
	return state
}

func TestAChangedAnnotationRestartsOnlyTheContainersThatFollowIt(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").GracePeriod(2).Sidecar(support.ImageSleeper).Obj()
	set.Spec.Template.Annotations = map[string]string{"app-config": "one", "note": "one"}
	set.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{following("CONFIG", "app-config")}
	s.Create(set)
	s.WaitReady("web")
	before := s.Pods(web)
	for name := range before {
		assert.Equal(t, "one", configOf(s, name))
	}
	witness := s.Watch(web)

	annotate(s, "web", "app-config", `"two"`)
	s.WaitFor("web", "both Pods are updated", support.IsUpdated(2))
	after := s.Pods(web)
	support.RequireSamePods(t, before, after)
	for name, pod := range after {
		assert.Equal(t, "two", configOf(s, name))
		assert.Equal(t, support.Restarts(before[name], "main")+1, support.Restarts(pod, "main"), "restarts of main in %s", name)
		assert.Equal(t, support.Restarts(before[name], "side"), support.Restarts(pod, "side"), "restarts of side in %s", name)
		state := updateOf(s, pod)
		assert.True(t, state.UpdateEnvFromMetadata)
		assert.Equal(t, [][]string{{"main"}}, support.Batches(state))
	}
	assert.GreaterOrEqual(t, witness.Least(), 1, "they change one after the other, drained")

	annotate(s, "web", "note", `"two"`)
	s.WaitFor("web", "an annotation that nobody follows is there at once", support.IsUpdated(2))
	for name, pod := range s.Pods(web) {
		assert.Equal(t, "two", pod.Annotations["note"])
		assert.Equal(t, support.Restarts(after[name], "main"), support.Restarts(pod, "main"))
	}

	annotate(s, "web", "app-config", "null")
	s.WaitFor("web", "an annotation that goes takes the variable with it", support.IsUpdated(2))
	support.RequireSamePods(t, before, s.Pods(web))
	for name := range after {
		assert.Empty(t, configOf(s, name))
	}
}

// TestContainersOfAPodAreUpdatedInLaunchOrder is the example of the release notes of v1.1: the sidecar follows an annotation and launches before main.
func TestContainersOfAPodAreUpdatedInLaunchOrder(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(1).Sidecar(support.ImageV1).Obj()
	set.Spec.Template.Annotations = map[string]string{"app-config": "config v1"}
	containers := set.Spec.Template.Spec.Containers
	containers[0].Env = []corev1.EnvVar{{Name: "PORT", Value: "8081"}}
	containers[1].Env = []corev1.EnvVar{{Name: "KRUISE_CONTAINER_PRIORITY", Value: "10"}, following("CONFIG", "app-config")}
	s.Create(set)
	s.WaitReady("web")
	before, witness := s.Pods(web), s.Watch(web)

	containers[0].Image = support.ImageV2
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"template":{"metadata":{"annotations":{"app-config":"config v2"}},"spec":{"containers":`+support.JSON(containers)+`}}}}`)
	first := witness.Saw("the update has begun", func(pod corev1.Pod) bool { return pod.Annotations[pub.InPlaceUpdateStateKey] != "" })
	begun := updateOf(s, first)
	assert.Equal(t, map[string]string{"main": support.ImageV2}, begun.NextContainerImages, "the sidecar is changed first")
	assert.Equal(t, []string{"side"}, begun.PreCheckBeforeNext.ContainersRequiredReady)
	assert.Equal(t, support.ImageV1, image(first, "main"), "main waits")
	s.WaitFor("web", "the Pod is updated", support.IsUpdated(1))
	after := s.Pods(web)
	support.RequireSamePods(t, before, after)
	for name, pod := range after {
		assert.Equal(t, "config v2", configOf(s, name))
		assert.EqualValues(t, 1, support.Restarts(pod, "side"))
		assert.EqualValues(t, 1, support.Restarts(pod, "main"))
		state := updateOf(s, pod)
		assert.Equal(t, [][]string{{"side"}, {"main"}}, support.Batches(state))
		assert.Empty(t, state.NextContainerImages)
		assert.Nil(t, state.PreCheckBeforeNext)
		assert.Contains(t, state.LastContainerStatuses, "main")
		assert.False(t, state.ContainerBatchesRecord[1].Timestamp.Before(&state.ContainerBatchesRecord[0].Timestamp))
	}
}

func TestANativeSidecarTakesANewImageInPlace(t *testing.T) {
	s := support.Begin(t)
	always := corev1.ContainerRestartPolicyAlways
	set := support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Obj()
	set.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "mesh", Image: "keelson/sleeper:v1", RestartPolicy: &always}}
	s.Create(set)
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"template":{"spec":{"initContainers":[{"name":"mesh","image":"keelson/sleeper:v2","restartPolicy":"Always"}]}}}}`)
	s.WaitFor("web", "both Pods are updated", support.IsUpdated(2))
	after := s.Pods(web)
	support.RequireSamePods(t, before, after)
	for name, pod := range after {
		assert.Equal(t, support.Restarts(before[name], "main"), support.Restarts(pod, "main"), "the other container goes on")
		assert.EqualValues(t, 1, pod.Status.InitContainerStatuses[0].RestartCount)
		assert.Contains(t, pod.Status.InitContainerStatuses[0].Image, "keelson/sleeper:v2")
	}
	assert.GreaterOrEqual(t, witness.Least(), 1)
}

func TestAPlainInitContainerNeedsNewPods(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(1).Policy(kruisev1beta1.InPlaceOnlyPodUpdatePolicyType).Obj()
	// It never ends, so the Pod is never ready; nothing here depends on that.
	set.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "keelson/sleeper:v1"}}
	s.Create(set)
	before := map[string]corev1.Pod{}
	s.Eventually("the Pod is there, with its address", func() bool {
		before = s.Pods(web)
		for _, pod := range before {
			return pod.Status.PodIP != ""
		}
		return false
	})
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"template":{"spec":{"initContainers":[{"name":"setup","image":"keelson/sleeper:v2"}]}}}}`)
	s.WaitFor("web", "Stalled says why", func(set *kruisev1beta1.CloneSet) bool {
		c := support.Condition(set, kruisev1beta1.CloneSetConditionStalled)
		return c != nil && c.Status == corev1.ConditionTrue && strings.Contains(c.Message, "spec.template.spec.initContainers[0].image cannot change in place")
	})
	support.RequireSamePods(t, before, s.Pods(web))
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"updateStrategy":{"rollingUpdate":{"podUpdatePolicy":"InPlaceIfPossible","maxUnavailable":"100%"}}}}`)
	s.Eventually("with leave to do so, a new Pod replaces it", func() bool {
		for name, pod := range s.Pods(web) {
			if _, was := before[name]; !was {
				return pod.Spec.InitContainers[0].Image == "keelson/sleeper:v2"
			}
		}
		return false
	})
}

func TestTheSameImageUnderAnotherNameIsNotWaitedForInVain(t *testing.T) {
	// Both names are of one image, so that its ID does not tell which of them a container was started from.
	const other = "openkruise/demo:1.10.2"
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(2).MaxUnavailable("1").Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	for i, name := range []string{other, support.ImageV1, other} {
		s.SetImage("web", name)
		s.WaitFor("web", "both Pods are at "+name, support.IsUpdated(2))
		after := s.Pods(web)
		support.RequireSamePods(t, before, after)
		for _, pod := range after {
			assert.Equal(t, name, image(pod, "main"))
			assert.EqualValues(t, i+1, support.Restarts(pod, "main"))
			assert.Equal(t, before[pod.Name].Status.ContainerStatuses[0].ImageID, pod.Status.ContainerStatuses[0].ImageID, "it is one image")
		}
	}
}

func TestAnImageThatIsMovedBackAtOnceIsNotWaitedForInVain(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).MaxUnavailable("100%").Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	for range 3 {
		s.SetImage("web", support.ImageV2)
		s.SetImage("web", support.ImageV1)
	}
	s.WaitFor("web", "all Pods are back", support.IsUpdated(3))
	support.RequireSamePods(t, before, s.Pods(web))
	for name := range before {
		assert.Equal(t, support.ImageV1, image(s.Pods(web)[name], "main"))
	}
}
