// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestKeelsonTakesOver(t *testing.T) {
	support.Disrupt(t)
	controllers(t.Context(), t, "0")
	t.Cleanup(func() { controllers(context.Background(), t, "2") })
	settled, short, volumes := inherit(t, "settled"), inherit(t, "short"), inherit(t, "volumes")
	halfway, hooks := inherit(t, "halfway"), inherit(t, "hooks")
	claims, witness := volumes.Claims(), halfway.Watch("app=web")
	controllers(t.Context(), t, "2")

	t.Run("not one Pod changes of a set at rest", func(t *testing.T) { staysUntouched(t, settled) })
	t.Run("nor of one with short hashes and older Pods", func(t *testing.T) { staysUntouched(t, short) })
	t.Run("nor of one with volumes, and a claim that is left finds a Pod", func(t *testing.T) {
		volumes.WaitFor("web", "the third Pod is back", func(set *kruisev1beta1.CloneSet) bool { return set.Status.AvailableReplicas == 3 })
		after := volumes.Pods("app=web")
		require.Contains(t, after, "web-left5", "it has the name of the one that is gone, and so its claim")
		delete(after, "web-left5")
		requireUnchanged(t, volumes, after)
		for name, claim := range volumes.Claims() {
			assert.Equal(t, claims[name].UID, claim.UID, "%s was there", name)
			assert.True(t, isSame(claims[name].OwnerReferences, claim.OwnerReferences), "%s belongs to the set", name)
		}
		assert.Len(t, volumes.Claims(), 3)
	})
	t.Run("a rollout that was left half-way goes on", func(t *testing.T) {
		halfway.WaitFor("web", "all Pods are updated", func(set *kruisev1beta1.CloneSet) bool {
			return set.Status.UpdatedAvailableReplicas == 7 && set.Status.Replicas == 7
		})
		for name, pod := range halfway.Pods("app=web") {
			assert.Equal(t, halfway.before[name].UID, pod.UID, "%s is not replaced", name)
			assert.LessOrEqual(t, restarts(pod), int32(1), "%s restarts once at most", name)
		}
		assert.Len(t, halfway.history(), 2, "no revision is made")
		assert.GreaterOrEqual(t, witness.Least(), 2)
	})
	t.Run("Pods that hooks held go on to wait for them", func(t *testing.T) {
		staysUntouched(t, hooks)
		hooks.Patch(&corev1.Pod{}, "web-prepa", `{"metadata":{"labels":{"example.com/serves":"false"}}}`)
		hooks.Eventually("web-prepa is updated and waits to serve", func() bool {
			return hooks.Pods("app=web")["web-prepa"].Labels["lifecycle.apps.kruise.io/state"] == "Updated"
		})
		for _, name := range []string{"web-prepa", "web-again"} {
			hooks.Patch(&corev1.Pod{}, name, `{"metadata":{"labels":{"example.com/serves":"true"}}}`)
		}
		hooks.Patch(&corev1.Pod{}, "web-leave", `{"metadata":{"finalizers":null}}`)
		hooks.WaitFor("web", "all Pods are updated", func(set *kruisev1beta1.CloneSet) bool {
			return set.Status.UpdatedAvailableReplicas == 3 && set.Status.Replicas == 3
		})
		after := hooks.Pods("app=web")
		assert.NotContains(t, after, "web-leave")
		for _, name := range []string{"web-prepa", "web-again"} {
			assert.Equal(t, hooks.before[name].UID, after[name].UID, "%s is not replaced", name)
		}
	})
}

// staysUntouched says that Keelson has looked at a set and that nothing followed from that for its Pods.
func staysUntouched(t *testing.T, in *inheritance) {
	t.Helper()
	in.WaitFor("web", "seen by Keelson", func(set *kruisev1beta1.CloneSet) bool {
		return support.Condition(set, kruisev1beta1.CloneSetConditionReady) != nil
	})
	in.Never("a Pod or a revision changes", 5*time.Second, func() bool {
		now := in.Pods("app=web")
		requireUnchanged(t, in, now)
		return len(now) != len(in.before) || !isSame(in.history(), in.revisions)
	})
	set := in.CloneSet("web")
	require.Equal(t, set.Status.UpdateRevision, newest(in.revisions), "the revision that was there is the one of the template")
}

// requireUnchanged says that Pods are as they were before Keelson came, but for what kubelets and the node agent report.
func requireUnchanged(t *testing.T, in *inheritance, now map[string]corev1.Pod) {
	t.Helper()
	require.Equal(t, support.SortedKeys(in.before), support.SortedKeys(now))
	for name, was := range in.before {
		is := now[name]
		require.Equal(t, was.UID, is.UID, name)
		require.Equal(t, restarts(was), restarts(is), name)
		require.Equal(t, support.JSON(was.Spec), support.JSON(is.Spec), name)
		require.Equal(t, was.Labels, is.Labels, name)
		require.Equal(t, ofControllers(was.Annotations), ofControllers(is.Annotations), name)
	}
}

// ofControllers are annotations without the report of the node agent.
func ofControllers(annotations map[string]string) map[string]string {
	left := map[string]string{}
	maps.Copy(left, annotations)
	delete(left, pub.RuntimeContainerMetaKey)
	return left
}

func restarts(pod corev1.Pod) (n int32) {
	for _, c := range pod.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}
