// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pods_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/readiness"
)

// FuzzRead gives Pods annotations and labels that nobody would write. Whatever they say, the Pod is read; what cannot be read is named, and means nothing.
func FuzzRead(f *testing.F) {
	for _, value := range []string{
		"", "{}", "{", "null", "[]", `"x"`, `{"revision":"web-1","updateTimestamp":"2026-01-01T00:00:00Z"}`, `{"updateTimestamp":7}`, `{"lastContainerStatuses":{"main":null}}`,
		`{"revision":"web-1","containerImages":{"main":"app:v2"},"metaDataPatch":"e30=","graceSeconds":-1}`, `{"containers":[{"name":"main","hashes":{"plainHash":-1}}]}`,
		"2147483648", "-2147483648", "+1", "007", "1e3", "PreparingDelete", "never heard of", `[{"userAgent":"Lifecycle","key":"preDeleteHook"}]`, `[{}]`, `["a"]`, `[{"userAgent":1}]`,
	} {
		f.Add(value, "web-1", "Normal", "10")
		f.Add("{}", value, value, value)
	}
	f.Fuzz(func(t *testing.T, annotation, revision, state, cost string) {
		pod := fuzzedPod(annotation, revision, state, cost)
		before := pod.DeepCopy()
		facts := pods.Read(pod)
		require.Equal(t, before, pod, "reading writes nothing")
		assert.Equal(t, facts, pods.Read(pod), "and says the same twice")

		var understood pub.InPlaceUpdateState
		isRead := json.Unmarshal([]byte(annotation), &understood) == nil
		assert.Equal(t, isRead, facts.InPlace != nil, "what can be read is read, and nothing else")
		for _, broken := range facts.Broken {
			assert.NotEmpty(t, broken.Problem)
			assert.Contains(t, pod.Annotations, broken.Key, "only what is there can be broken")
		}
		if facts.IsServing() {
			assert.Empty(t, facts.Problem())
		} else {
			assert.NotEmpty(t, facts.Problem(), "a Pod that does not serve has a reason")
		}
		_ = facts.IsAvailable(10, time.Unix(0, 0))
		holds(t, pod)
	})
}

// holds holds a Pod not ready, whatever the condition says that does this, and lets go of nobody else's hold.
func holds(t *testing.T, pod *corev1.Pod) {
	hook := readiness.Key{UserAgent: "Lifecycle", Name: "preDeleteHook"}
	before := readiness.Read(pod)
	c, isChanged := before.Change(before.Hold(hook), time.Time{})
	if !isChanged {
		return
	}
	pod.Status.Conditions = []corev1.PodCondition{c}
	after := readiness.Read(pod)
	assert.True(t, after.Holds(hook))
	for _, k := range before.Keys {
		assert.True(t, after.Holds(k), "the keys of others are kept")
	}
	_, isChanged = after.Change(after.Hold(hook), time.Time{})
	assert.False(t, isChanged, "what was written says what was meant")
}

// fuzzedPod runs and is ready, but for what its metadata says.
func fuzzedPod(annotation, revision, state, cost string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:   "web-1",
			Labels: map[string]string{"controller-revision-hash": revision, pub.LifecycleStateKey: state},
			Annotations: map[string]string{
				pub.InPlaceUpdateStateKey: annotation, pub.InPlaceUpdateGraceKey: annotation, pub.RuntimeContainerMetaKey: annotation,
				pub.LifecycleTimestampKey: annotation, corev1.PodDeletionCost: cost,
			},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1", Containers: []corev1.Container{{Name: "main", Image: "app:v1"}},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: pub.InPlaceUpdateReady}, {ConditionType: pub.KruisePodReady}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodReady, Status: corev1.ConditionTrue}, {Type: pub.InPlaceUpdateReady, Status: corev1.ConditionTrue},
				{Type: pub.KruisePodReady, Status: corev1.ConditionTrue, Message: annotation},
			},
		},
	}
}
