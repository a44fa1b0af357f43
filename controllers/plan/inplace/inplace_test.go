// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/pods"
)

func template() *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"config": "a"}},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Image: "init:v1"}},
			Containers:     []corev1.Container{{Name: "main", Image: "app:v1", Command: []string{"serve"}}, {Name: "side", Image: "side:v1"}},
		},
	}
}

func changed(change func(*corev1.PodTemplateSpec)) *corev1.PodTemplateSpec {
	updated := template()
	change(updated)
	return updated
}

func TestDiff(t *testing.T) {
	for name, tc := range map[string]struct {
		updated    *corev1.PodTemplateSpec
		wantImages map[string]string
		wantLabels []string
		wantNo     string
	}{
		"no change": {updated: template()},
		"the image of one container": {
			updated:    changed(func(u *corev1.PodTemplateSpec) { u.Spec.Containers[1].Image = "side:v2" }),
			wantImages: map[string]string{"side": "side:v2"},
		},
		"a new label": {
			updated:    changed(func(u *corev1.PodTemplateSpec) { u.Labels["tier"] = "web" }),
			wantLabels: []string{"tier"},
		},
		"a command needs a new Pod": {
			updated: changed(func(u *corev1.PodTemplateSpec) { u.Spec.Containers[0].Command = []string{"other"} }),
			wantNo:  "spec.template.spec.containers[0].command[0] cannot change in place",
		},
		"an init container needs a new Pod": {
			updated: changed(func(u *corev1.PodTemplateSpec) { u.Spec.InitContainers[0].Image = "init:v2" }),
			wantNo:  "spec.template.spec.initContainers[0].image cannot change in place",
		},
		"one more container needs a new Pod": {
			updated: changed(func(u *corev1.PodTemplateSpec) {
				u.Spec.Containers = append(u.Spec.Containers, corev1.Container{Name: "third"})
			}),
			wantNo: "spec.template.spec.containers cannot change in place",
		},
		"an image together with anything else needs a new Pod": {
			updated: changed(func(u *corev1.PodTemplateSpec) {
				u.Spec.Containers[0].Image, u.Spec.NodeName = "app:v2", "n1"
			}),
			wantNo: "spec.template.spec.nodeName cannot change in place",
		},
		"metadata that a container reads into its environment needs a new Pod": {
			updated: changed(func(u *corev1.PodTemplateSpec) { u.Annotations["config"] = "b" }),
			wantNo:  "the environment of container main follows metadata.annotations['config']",
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := template()
			if tc.wantNo != "" && tc.updated.Annotations["config"] == "b" {
				env := []corev1.EnvVar{{Name: "C", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['config']"}}}}
				old.Spec.Containers[0].Env, tc.updated.Spec.Containers[0].Env = env, env
			}
			spec, verdict := inplace.Diff(old, tc.updated, inplace.Options{})
			if tc.wantNo != "" {
				assert.False(t, verdict.OK)
				assert.Contains(t, verdict.Message, tc.wantNo)
				return
			}
			assert.True(t, verdict.OK, verdict.Message)
			assert.Equal(t, len(tc.wantImages), len(spec.Images))
			for k, v := range tc.wantImages {
				assert.Equal(t, v, spec.Images[k])
			}
			for _, key := range tc.wantLabels {
				assert.Contains(t, spec.Labels, key)
			}
			assert.Equal(t, template().Spec, func() corev1.PodSpec { o := old.DeepCopy(); o.Spec.Containers[0].Env = nil; return o.Spec }(), "the old template must not change")
		})
	}
}

var now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func runningPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-x", Labels: map[string]string{appsv1.ControllerRevisionHashLabelKey: "web-1", pub.LifecycleStateKey: "Normal"}, Annotations: map[string]string{},
		},
		Spec: corev1.PodSpec{
			Containers:     []corev1.Container{{Name: "main", Image: "app:v1"}},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: pub.InPlaceUpdateReady}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{
				{Type: pub.InPlaceUpdateReady, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "app:v1", ImageID: "sha:1", ContainerID: "containerd://1"}},
		},
	}
}

func target(grace int32) inplace.Target {
	return inplace.Target{
		Revision: "web-2", Labels: map[string]string{appsv1.ControllerRevisionHashLabelKey: "web-2"},
		Spec: inplace.Spec{Images: map[string]string{"main": "app:v2"}}, GraceSeconds: grace, After: pub.LifecycleStateNormal,
	}
}

// apply puts changes on a Pod as far as these tests look at it.
func apply(t *testing.T, pod *corev1.Pod, changes []plan.Change) *corev1.Pod {
	t.Helper()
	out := pod.DeepCopy()
	for _, c := range changes {
		var p struct {
			Metadata struct{ Labels, Annotations map[string]*string }
			Spec     struct{ Containers []corev1.Container }
			Status   struct{ Conditions []corev1.PodCondition }
		}
		require.NoError(t, json.Unmarshal(c.Patch, &p))
		for k, v := range p.Metadata.Labels {
			out.Labels[k] = *v
		}
		for k, v := range p.Metadata.Annotations {
			if v == nil {
				delete(out.Annotations, k)
			} else {
				out.Annotations[k] = *v
			}
		}
		for _, container := range p.Spec.Containers {
			require.NotEqual(t, "status", c.Subresource, "containers are not in the status")
			for i := range out.Spec.Containers {
				if out.Spec.Containers[i].Name == container.Name && c.Subresource == "" {
					out.Spec.Containers[i].Image = container.Image
				}
			}
		}
		for _, condition := range p.Status.Conditions {
			require.Equal(t, "status", c.Subresource)
			for i := range out.Status.Conditions {
				if out.Status.Conditions[i].Type == condition.Type {
					out.Status.Conditions[i] = condition
				}
			}
		}
	}
	return out
}

func TestAnUpdateIsThreeWrites(t *testing.T) {
	pod := runningPod()
	begin, err := inplace.Begin(pods.Read(pod), target(0), now)
	require.NoError(t, err)
	require.Len(t, begin, 2, "drain, then spec")
	pod = apply(t, pod, begin)
	f := pods.Read(pod)
	assert.False(t, f.IsReady())
	assert.Equal(t, pub.LifecycleStateUpdating, f.State)
	assert.Equal(t, "app:v2", pod.Spec.Containers[0].Image)
	assert.Equal(t, map[string]pub.InPlaceUpdateContainerStatus{"main": {ImageID: "sha:1"}}, f.InPlace.LastContainerStatuses)

	step := inplace.Next(f, now)
	assert.Equal(t, inplace.Wait, step.Kind)
	assert.Equal(t, "container main still runs app:v1", step.Message)

	pod.Status.ContainerStatuses[0].ImageID = "sha:2"
	f = pods.Read(pod)
	step = inplace.Next(f, now)
	require.Equal(t, inplace.Finish, step.Kind)
	finish := step.Write(f, pub.LifecycleStateNormal, now)
	require.Len(t, finish, 1)
	pod = apply(t, pod, finish)
	assert.Equal(t, inplace.Idle, inplace.Next(pods.Read(pod), now).Kind)
	assert.Equal(t, corev1.ConditionTrue, pods.Read(pod).InPlaceReady)
}

func TestAGracePeriodHoldsTheImagesBack(t *testing.T) {
	pod := runningPod()
	begin, err := inplace.Begin(pods.Read(pod), target(30), now)
	require.NoError(t, err)
	require.Len(t, begin, 1, "drain and note are one write")
	pod = apply(t, pod, begin)
	assert.Equal(t, "app:v1", pod.Spec.Containers[0].Image)
	assert.False(t, pods.Read(pod).IsReady())

	step := inplace.Next(pods.Read(pod), now.Add(10*time.Second))
	assert.Equal(t, inplace.Wait, step.Kind)
	assert.Equal(t, 20*time.Second, step.After)

	step = inplace.Next(pods.Read(pod), now.Add(30*time.Second))
	require.Equal(t, inplace.Apply, step.Kind)
	pod = apply(t, pod, step.Write(pods.Read(pod), pub.LifecycleStateNormal, now))
	assert.Equal(t, "app:v2", pod.Spec.Containers[0].Image)
	assert.Empty(t, pods.Read(pod).Grace)
}

func TestAHeldUpdateOfAnotherRevisionIsDropped(t *testing.T) {
	pod := runningPod()
	begin, err := inplace.Begin(pods.Read(pod), target(30), now)
	require.NoError(t, err)
	pod = apply(t, pod, begin)
	pod.Labels[appsv1.ControllerRevisionHashLabelKey] = "web-3"
	step := inplace.Next(pods.Read(pod), now.Add(time.Hour))
	pod = apply(t, pod, step.Write(pods.Read(pod), pub.LifecycleStateNormal, now))
	assert.Equal(t, "app:v1", pod.Spec.Containers[0].Image)
	assert.Empty(t, pods.Read(pod).Grace)
}

func TestMetadataAloneIsOneWriteAndDrainsNothing(t *testing.T) {
	value := "web"
	to := target(30)
	to.Spec = inplace.Spec{Labels: map[string]*string{"tier": &value}}
	begin, err := inplace.Begin(pods.Read(runningPod()), to, now)
	require.NoError(t, err)
	require.Len(t, begin, 1)
	pod := apply(t, runningPod(), begin)
	assert.Equal(t, "web", pod.Labels["tier"])
	assert.True(t, pods.Read(pod).IsReady())
	assert.Equal(t, inplace.Idle, inplace.Next(pods.Read(pod), now).Kind)
}

func TestAContainerFollowsWithoutANewImageID(t *testing.T) {
	begun := func() *corev1.Pod {
		begin, err := inplace.Begin(pods.Read(runningPod()), target(0), now)
		require.NoError(t, err)
		return apply(t, runningPod(), begin)
	}
	t.Run("when the kubelet reports the image that the spec names", func(t *testing.T) {
		pod := begun()
		pod.Status.ContainerStatuses[0].Image = "docker.io/library/app:v2"
		assert.True(t, inplace.Complete(pods.Read(pod)).OK)
	})
	t.Run("when the node agent reports the hash of the spec", func(t *testing.T) {
		pod := begun()
		// The hash that a kubelet of 1.36 gives {"image":"app:v2","name":"main"}.
		pod.Annotations[pub.RuntimeContainerMetaKey] = report("containerd://1", pod)
		assert.True(t, inplace.Complete(pods.Read(pod)).OK)
	})
	t.Run("but not when the report is of another container", func(t *testing.T) {
		pod := begun()
		pod.Annotations[pub.RuntimeContainerMetaKey] = report("containerd://0", pod)
		assert.False(t, inplace.Complete(pods.Read(pod)).OK)
	})
	t.Run("but not when it followed the update before this one", func(t *testing.T) {
		pod := begun()
		pod.Annotations[pub.RuntimeContainerMetaKey] = report("containerd://2", pod)
		pod.Status.ContainerStatuses[0].ContainerID, pod.Status.ContainerStatuses[0].ImageID = "containerd://2", "sha:2"
		pod.Spec.Containers[0].Image = "app:v3"
		assert.False(t, inplace.Complete(pods.Read(pod)).OK, "the kubelet will restart it once more")
	})
	t.Run("and garbage in the report is no report", func(t *testing.T) {
		pod := begun()
		pod.Annotations[pub.RuntimeContainerMetaKey] = "{"
		assert.False(t, inplace.Complete(pods.Read(pod)).OK)
	})
}

func report(containerID string, pod *corev1.Pod) string {
	raw, _ := json.Marshal(pub.RuntimeContainerMetaSet{Containers: []pub.RuntimeContainerMeta{{
		Name: "main", ContainerID: containerID, Hashes: pub.RuntimeContainerHashes{PlainHash: inplace.KubeletHash(&pod.Spec.Containers[0])},
	}}})
	return string(raw)
}
