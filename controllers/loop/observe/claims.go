// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keelson/keelson/controllers/plan/pods"
)

// VolumeClaims returns the PersistentVolumeClaims that the owner controls. Orphans are left alone: whoever removes the owner of a claim wants to keep
// its data. From the cache it costs an owner without claims one look into an index.
func (r *Reader) VolumeClaims(ctx context.Context, owner Owner, source Source) ([]*corev1.PersistentVolumeClaim, error) {
	if source == FromCache {
		mine, err := indexed[*corev1.PersistentVolumeClaim](r.ClaimIndex, string(owner.Object.GetUID()))
		if err != nil {
			return nil, fmt.Errorf("listing PersistentVolumeClaims: %w", err)
		}
		return mine, nil
	}
	var list corev1.PersistentVolumeClaimList
	if err := r.Live.List(ctx, &list, client.InNamespace(owner.Object.GetNamespace())); err != nil {
		return nil, fmt.Errorf("listing PersistentVolumeClaims: %w", err)
	}
	var mine []*corev1.PersistentVolumeClaim
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], owner.Object) {
			mine = append(mine, &list.Items[i])
		}
	}
	return mine, nil
}

// Pod returns the Facts of one Pod in the cache, whomever it belongs to; nil when there is none.
func (r *Reader) Pod(key types.NamespacedName) (*pods.Facts, error) {
	object, found, err := r.PodIndex.GetByKey(key.String())
	if err != nil || !found {
		return nil, err
	}
	pod, isPod := object.(*corev1.Pod)
	if !isPod {
		return nil, fmt.Errorf("reading Pod %s: the cache holds a %T", key.Name, object)
	}
	return pods.Read(pod), nil
}
