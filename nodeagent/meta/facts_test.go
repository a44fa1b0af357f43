// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/nodeagent/cri"
)

// follower is a Pod of ours with a container that follows a label, after a change.
func follower(change func(pod *corev1.Pod, c *corev1.Container)) *corev1.Pod {
	follows := &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['tier']"}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web", Labels: map[string]string{"tier": "front"}, Annotations: map[string]string{sidecarSetAnnotation: "{}"},
			OwnerReferences: []metav1.OwnerReference{
				{Name: "other", APIVersion: "v1", Kind: "ConfigMap"}, {Name: "web", APIVersion: "apps.kruise.io/v1beta1", Kind: "CloneSet", Controller: ptr.To(true)},
			},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Env: []corev1.EnvVar{{Name: "TIER", ValueFrom: follows}, {Name: "PLAIN", Value: "x"}},
			Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", "1"}}}},
		}}},
	}
	change(pod, &pod.Spec.Containers[0])
	return pod
}

func factsOf(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	facts, err := keepFacts(pod)
	require.NoError(t, err)
	require.True(t, IsManaged(facts.(*corev1.Pod)))
	return facts.(*corev1.Pod)
}

func TestWhatIsKeptOfAPodIsBounded(t *testing.T) {
	long := strings.Repeat("x", maxFacts)
	for name, tc := range map[string]struct {
		change       func(pod *corev1.Pod, c *corev1.Container)
		wantTooLarge bool
	}{
		"a usual Pod is kept": {change: func(*corev1.Pod, *corev1.Container) {}},
		"what is not kept may be large": {change: func(pod *corev1.Pod, c *corev1.Container) {
			c.Env[1].Value, c.Command, pod.Annotations["own"] = long, []string{long}, long
		}},
		"a large hook": {wantTooLarge: true, change: func(_ *corev1.Pod, c *corev1.Container) {
			c.Lifecycle.PreStop.Exec.Command = []string{long}
		}},
		"very many ports": {wantTooLarge: true, change: func(_ *corev1.Pod, c *corev1.Container) {
			c.Ports = make([]corev1.ContainerPort, maxFacts/4)
		}},
		"a large annotation that is followed": {wantTooLarge: true, change: func(pod *corev1.Pod, c *corev1.Container) {
			pod.Annotations["own"] = long
			c.Env[1] = corev1.EnvVar{Name: "OWN", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['own']"}}}
		}},
		"a large state of the update": {wantTooLarge: true, change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Annotations[pub.InPlaceUpdateStateKey] = long
		}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := factsOf(t, follower(tc.change))
			assert.Equal(t, tc.wantTooLarge, isTooLarge(facts))
			assert.Less(t, facts.Size(), maxFacts)
			require.Len(t, facts.Spec.Containers, 1)
			assert.Equal(t, "main", facts.Spec.Containers[0].Name, "its containers are reported in any case")
			assert.Equal(t, !tc.wantTooLarge, inplace.FollowsMetadata(&facts.Spec.Containers[0]))
		})
	}
}

func TestOnlyTheOwnerThatCountsIsKept(t *testing.T) {
	facts := factsOf(t, follower(func(pod *corev1.Pod, _ *corev1.Container) { delete(pod.Annotations, sidecarSetAnnotation) }))
	require.Len(t, facts.OwnerReferences, 1)
	assert.Equal(t, "CloneSet", facts.OwnerReferences[0].Kind)
}

func TestAReportThatIsTooLargeIsReplaced(t *testing.T) {
	facts := factsOf(t, follower(func(pod *corev1.Pod, _ *corev1.Container) {
		pod.Annotations[pub.RuntimeContainerMetaKey] = `{"containers":[` + strings.Repeat(" ", maxFacts) + `]}`
	}))
	assert.False(t, isTooLarge(facts), "the Pod itself is not")
	assert.Less(t, facts.Size(), 1<<10)
	report, err := Plan(facts, "containerd", []cri.Container{{ID: "a", Name: "main", Running: true}}, nil)
	require.NoError(t, err)
	assert.True(t, report.Write)
	assert.NotEmpty(t, report.Broken)
}
