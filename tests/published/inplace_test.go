// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package published_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

const priority = "KRUISE_CONTAINER_PRIORITY"

// follows is an environment variable that follows a field of the Pod's metadata.
func follows(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

// twoInOrder is a set of one Pod: redis launches before nginx, and takes its time.
func twoInOrder() *kruisev1beta1.CloneSet {
	set := support.MakeCloneSet("web").Replicas(1).Deadline(600).Obj()
	// A hook may not sleep for longer than this.
	set.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(10))
	set.Spec.Template.Spec.Containers = []corev1.Container{
		{Name: "nginx", Image: support.ImageV1, ImagePullPolicy: corev1.PullIfNotPresent, Env: []corev1.EnvVar{{Name: "PORT", Value: "8081"}}},
		{
			Name: "redis", Image: support.ImageV1, ImagePullPolicy: corev1.PullIfNotPresent, Env: []corev1.EnvVar{{Name: priority, Value: "10"}},
			Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 4}}},
		},
	}
	return set
}

func setContainers(s *support.Suite, containers []corev1.Container) {
	s.Helper()
	patch(s, `{"template":{"spec":{"containers":`+support.JSON(containers)+`}}}`)
}

func TestAnImageAndALabelChangeTogether(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(1).Deadline(600).Obj()
	set.Spec.Template.Labels["config"] = "one"
	set.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{follows("CONFIG", "metadata.labels['config']")}
	s.Create(set)
	becomes(s, available())
	before := s.Pods(web)
	containers := s.CloneSet("web").Spec.Template.Spec.Containers
	containers[0].Image = support.ImageV2
	patch(s, `{"template":{"metadata":{"labels":{"config":"two"}},"spec":{"containers":`+support.JSON(containers)+`}}}`)
	set = s.WaitFor("web", "the Pod is updated", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.UpdatedAvailableReplicas == 1 && progressOf(set) == available()
	})
	assert.Equal(t, set.Generation, set.Status.ObservedGeneration)
	requireSame(t, before, s.Pods(web))
	assert.EqualValues(t, 1, statusOf(s, only(s), "main").RestartCount)
	assert.Equal(t, "two", only(s).Labels["config"])
}

func TestTheSecondContainerStopsWhenTheFirstIsReady(t *testing.T) {
	s := support.Begin(t)
	set := twoInOrder()
	s.Create(set)
	becomes(s, available())
	before := s.Pods(web)
	containers := s.CloneSet("web").Spec.Template.Spec.Containers
	containers[0].Image, containers[1].Image = support.ImageV2, support.ImageV2
	setContainers(s, containers)
	s.WaitFor("web", "the Pod is updated", func(set *kruisev1beta1.CloneSet) bool { return set.Status.UpdatedAvailableReplicas == 1 })
	requireSame(t, before, s.Pods(web))
	pod := only(s)
	nginx, redis := statusOf(s, pod, "nginx"), statusOf(s, pod, "redis")
	assert.Equal(t, []int32{1, 1}, []int32{nginx.RestartCount, redis.RestartCount})
	require.NotNil(t, nginx.LastTerminationState.Terminated)
	require.NotNil(t, redis.State.Running)
	// The hook of redis takes four seconds; times are told in whole ones.
	assert.GreaterOrEqual(t, nginx.LastTerminationState.Terminated.FinishedAt.Sub(redis.State.Running.StartedAt.Time), 3*time.Second)
	state, isSet := support.UpdateOf(pod)
	require.True(t, isSet)
	assert.Equal(t, [][]string{{"redis"}, {"nginx"}}, support.Batches(state))
}

func TestAFirstContainerThatCrashesHoldsTheSecondBack(t *testing.T) {
	s := support.Begin(t)
	// While its hook sleeps redis is not ready; without a hook and a probe it would be for the moment in which it runs.
	s.Create(twoInOrder())
	becomes(s, available())
	containers := s.CloneSet("web").Spec.Template.Spec.Containers
	containers[0].Image, containers[1].Image = support.ImageV2, "keelson/crasher:v1"
	setContainers(s, containers)
	s.Eventually("redis crashes", func() bool { return statusOf(s, only(s), "redis").RestartCount > 1 })
	s.Never("nginx is touched", 15*time.Second, func() bool {
		state, isSet := support.UpdateOf(only(s))
		isRight := isSet && assert.ObjectsAreEqual([][]string{{"redis"}}, support.Batches(state)) &&
			assert.ObjectsAreEqual(map[string]string{"nginx": support.ImageV2}, state.NextContainerImages)
		return !isRight || statusOf(s, only(s), "nginx").RestartCount != 0 || progressOf(s.CloneSet("web")) != progressing()
	})
	line := regexp.MustCompile(`\(CrashLoopBackOff: the kubelet waits \d+ s before it restarts redis\)`)
	s.WaitFor("web", "Ready says how long the kubelet waits", func(set *kruisev1beta1.CloneSet) bool {
		c := support.Condition(set, kruisev1beta1.CloneSetConditionReady)
		return c != nil && line.MatchString(c.Message)
	})
}

func TestAnAnnotationThatPodsHaveAlready(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(1).Deadline(600).Sidecar(support.ImageSleeper).Obj()
	set.Spec.Template.Annotations = map[string]string{"config": "one"}
	for i := range set.Spec.Template.Spec.Containers {
		set.Spec.Template.Spec.Containers[i].Env = []corev1.EnvVar{follows("CONFIG", "metadata.annotations['config']")}
	}
	s.Create(set)
	becomes(s, available())
	before := s.Pods(web)
	restarts := func() []int32 {
		pod := only(s)
		return []int32{statusOf(s, pod, "main").RestartCount, statusOf(s, pod, "side").RestartCount}
	}
	s.Patch(&corev1.Pod{}, only(s).Name, `{"metadata":{"annotations":{"config":"two"}}}`)
	s.Never("a container restarts", 5*time.Second, func() bool { return !assert.ObjectsAreEqual([]int32{0, 0}, restarts()) })
	patch(s, `{"template":{"metadata":{"annotations":{"config":"two"}}}}`)
	counts(s, "the Pod is updated", func(status kruisev1beta1.CloneSetStatus) bool {
		return status.UpdatedReadyReplicas == 1 && status.UpdatedAvailableReplicas == 1
	})
	assert.Equal(t, []int32{1, 1}, restarts(), "each container restarts once")
	requireSame(t, before, s.Pods(web))
}
