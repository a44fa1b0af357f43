// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// FuzzProgress gives a Pod annotations of an update in place that nobody would write. Whatever they say, there is a next step, it can be written, and a new update
// can begin.
func FuzzProgress(f *testing.F) {
	const (
		state = `{"revision":"web-1","updateTimestamp":"2026-01-01T00:00:00Z","lastContainerStatuses":{"main":{"imageID":"sha256:1"}},"updateImages":true}`
		held  = `{"revision":"web-1","containerImages":{"main":"app:v2"},"metaDataPatch":"eyJtZXRhZGF0YSI6eyJsYWJlbHMiOnsiYSI6bnVsbH19fQ==","graceSeconds":5}`
		meta  = `{"containers":[{"name":"main","containerID":"containerd://1","restartCount":0,"hashes":{"plainHash":1,"extractedEnvFromMetadataHash":2}}]}`
	)
	for _, s := range []string{state, "", "{}", "null", `{"nextContainerImages":{"main":"app:v3","gone":"x"},"preCheckBeforeNext":{"containersRequiredReady":["main","gone"]}}`} {
		for _, h := range []string{held, "", "{", "null", `{"metaDataPatch":"!"}`, `{"containerImages":{"gone":"x"},"graceSeconds":-9223372036854775808}`} {
			f.Add(s, h, meta, "Updating", "web-1", "app:v2")
		}
	}
	f.Add(state, held, "{", "", "1", "")
	f.Fuzz(func(t *testing.T, state, held, meta, lifecycle, revision, image string) {
		now := time.Date(2026, time.January, 1, 0, 0, 3, 0, time.UTC)
		pod := underUpdate(state, held, meta, lifecycle, revision, image)
		before := pod.DeepCopy()
		facts := pods.Read(pod)
		_ = inplace.Complete(facts)
		step := inplace.Next(facts, now)
		changes := step.Write(facts, pub.LifecycleStateNormal, now)
		assert.Equal(t, step.Kind == inplace.Idle || step.Kind == inplace.Wait, len(changes) == 0, "a step that neither rests nor waits writes")
		requireWritable(t, changes)

		begun, err := inplace.Begin(facts, inplace.Target{
			Revision: "web-2", Labels: map[string]string{"controller-revision-hash": "web-2"}, After: pub.LifecycleStateNormal,
			Spec: inplace.Spec{Images: map[string]string{"main": "app:v9"}},
		}, now)
		require.NoError(t, err)
		require.NotEmpty(t, begun)
		requireWritable(t, begun)
		require.Equal(t, before, pod, "nothing is written to the Pod that was observed")
	})
}

// requireWritable says that changes are patches, each of an object.
func requireWritable(t *testing.T, changes []plan.Change) {
	for _, c := range changes {
		var body map[string]any
		require.NoError(t, json.Unmarshal(c.Patch, &body))
		require.NotEmpty(t, body)
	}
}

func underUpdate(state, held, meta, lifecycle, revision, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "web-a",
			Labels:      map[string]string{"controller-revision-hash": revision, pub.LifecycleStateKey: lifecycle},
			Annotations: map[string]string{pub.InPlaceUpdateStateKey: state, pub.InPlaceUpdateGraceKey: held, pub.RuntimeContainerMetaKey: meta},
		},
		Spec: corev1.PodSpec{
			Containers:     []corev1.Container{{Name: "main", Image: image}, {Name: "side", Image: "proxy:v1"}},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: pub.InPlaceUpdateReady}},
		},
		Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			Conditions:        []corev1.PodCondition{{Type: pub.InPlaceUpdateReady, Status: corev1.ConditionFalse}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "app:v1", ImageID: "sha256:1", ContainerID: "containerd://1"}},
		},
	}
}
