// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// IsUpdated says that so many Pods are updated and available, and that no other Pod is not available.
func IsUpdated(n int32) func(*kruisev1beta1.CloneSet) bool {
	return func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.UpdatedReplicas == n && set.Status.UpdatedAvailableReplicas == n && set.Status.AvailableReplicas == set.Status.Replicas
	}
}

// RequireSamePods says that Pods were kept: same names, UIDs, IPs and nodes.
func RequireSamePods(t testing.TB, before, after map[string]corev1.Pod) {
	t.Helper()
	require.Len(t, after, len(before))
	for name, was := range before {
		is, found := after[name]
		require.True(t, found, "Pod %s is gone", name)
		assert.Equal(t, was.UID, is.UID, "UID of %s", name)
		assert.Equal(t, was.Status.PodIP, is.Status.PodIP, "IP of %s", name)
		assert.Equal(t, was.Spec.NodeName, is.Spec.NodeName, "node of %s", name)
	}
}

// Restarts is how often a container has restarted; -1 when its Pod does not tell of it.
func Restarts(pod corev1.Pod, container string) int32 {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == container {
			return c.RestartCount
		}
	}
	return -1
}

// UpdateOf is what a Pod says of its update in place; the second value tells whether there is one.
func UpdateOf(pod corev1.Pod) (state pub.InPlaceUpdateState, isSet bool) {
	isSet = json.Unmarshal([]byte(pod.Annotations[pub.InPlaceUpdateStateKey]), &state) == nil
	return state, isSet
}

// Batches are the containers that an update changed, in the order of its batches.
func Batches(state pub.InPlaceUpdateState) (all [][]string) {
	for _, batch := range state.ContainerBatchesRecord {
		all = append(all, batch.Containers)
	}
	return all
}
