// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// withVolume is makeSet with a template for a volume.
func withVolume(namespace string, replicas int32) *kruisev1beta1.CloneSet {
	set := makeSet(namespace, replicas)
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Labels: map[string]string{"tier": "fast"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}}
	return set
}

// claims lists the PersistentVolumeClaims of a namespace that are not being deleted, by name. Nothing protects them here, so the end is not seen.
func (w *world) claims(ctx context.Context, namespace string) map[string]corev1.PersistentVolumeClaim {
	var list corev1.PersistentVolumeClaimList
	if w.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return nil
	}
	found := map[string]corev1.PersistentVolumeClaim{}
	for _, claim := range list.Items {
		if claim.DeletionTimestamp == nil {
			found[claim.Name] = claim
		}
	}
	return found
}

// hold keeps a Pod that is deleted in place until the returned function is called.
func (w *world) hold(t *testing.T, pod *corev1.Pod) (release func()) {
	t.Helper()
	patch := func(body string) error {
		return w.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(body)))
	}
	require.NoError(t, patch(`{"metadata":{"finalizers":["test.keelson.io/look"]}}`))
	return func() { require.NoError(t, client.IgnoreNotFound(patch(`{"metadata":{"finalizers":null}}`))) }
}

func givesVolumes(t *testing.T, w *world) {
	set := withVolume(w.namespace(t), 2)
	w.bringUp(t, set)
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	claims := w.claims(t.Context(), set.Namespace)
	require.Len(t, claims, 2)
	for _, pod := range pods {
		id := pod.Labels[kruisev1beta1.CloneSetInstanceIDKey]
		claim, found := claims["data-web-"+id]
		require.True(t, found)
		assert.Equal(t, map[string]string{"tier": "fast", "app": "web", kruisev1beta1.CloneSetInstanceIDKey: id}, claim.Labels)
		assert.True(t, metav1.IsControlledBy(&claim, set))
		assert.Equal(t, claim.Name, pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName)
	}
	staysAsItIs(t, w, set)

	require.NoError(t, w.Patch(t.Context(), set, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":1}}`))))
	eventually(t, "scaling in takes the claim along", func(ctx context.Context) (bool, string) {
		left := w.claims(ctx, set.Namespace)
		pods, err := w.pods(ctx, set)
		return err == nil && len(left) == 1 && len(pods) == 1, fmt.Sprint(len(left), len(pods), err)
	})
}

func reusesVolumes(t *testing.T, w *world) {
	set := withVolume(w.namespace(t), 2)
	set.Spec.ScaleStrategy.EnablePVCReuse = true
	w.bringUp(t, set)
	before := w.claims(t.Context(), set.Namespace)
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	release := w.hold(t, &pods[0])
	require.NoError(t, w.Delete(t.Context(), &pods[0]))
	eventually(t, "the set sees one Pod", func(ctx context.Context) (bool, string) {
		err := w.Get(ctx, client.ObjectKeyFromObject(set), set)
		return err == nil && set.Status.Replicas == 1, fmt.Sprintf("%+v", set.Status)
	})
	release()
	eventually(t, "a Pod of the same name is there", func(ctx context.Context) (bool, string) {
		again := &corev1.Pod{}
		err := w.Get(ctx, client.ObjectKeyFromObject(&pods[0]), again)
		return err == nil && again.UID != pods[0].UID, fmt.Sprint(err)
	})
	eventually(t, "the set is ready", w.isReady(set))
	after := w.claims(t.Context(), set.Namespace)
	require.Len(t, after, 2)
	for name, claim := range before {
		assert.Equal(t, claim.UID, after[name].UID)
	}
}

func letsVolumesFollow(t *testing.T, w *world) {
	set := withVolume(w.namespace(t), 2)
	w.bringUp(t, set)
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	owner := func(ctx context.Context, pod *corev1.Pod) string {
		claim := w.claims(ctx, set.Namespace)["data-"+pod.Name]
		if len(claim.OwnerReferences) != 1 {
			return fmt.Sprint(claim.OwnerReferences)
		}
		return claim.OwnerReferences[0].Kind + " " + string(claim.OwnerReferences[0].UID)
	}

	deleted := &pods[0]
	release := w.hold(t, deleted)
	require.NoError(t, w.Delete(t.Context(), deleted))
	eventually(t, "the claim of a Pod that somebody deletes follows it", func(ctx context.Context) (bool, string) {
		is := owner(ctx, deleted)
		return is == "Pod "+string(deleted.UID), is
	})
	release()

	released := &pods[1]
	require.NoError(t, w.Patch(t.Context(), released, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`))))
	eventually(t, "the claim of a Pod that is released follows it, too", func(ctx context.Context) (bool, string) {
		is := owner(ctx, released)
		return is == "Pod "+string(released.UID), is
	})
	eventually(t, "the set is ready", w.isReady(set))
	mine, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	require.Len(t, mine, 2)
	for _, pod := range mine {
		assert.Equal(t, "CloneSet "+string(set.UID), owner(t.Context(), &pod))
	}
}
