// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
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
	if err := r.listLive(ctx, owner, &list); err != nil {
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

// ClaimUserIndex is the name of the index of Pods by the PersistentVolumeClaims that their volumes name.
const ClaimUserIndex = "keelson.claim-users"

// IndexClaimUsers computes the keys of ClaimUserIndex.
func IndexClaimUsers(object any) ([]string, error) {
	pod, isPod := object.(*corev1.Pod)
	if !isPod {
		return nil, fmt.Errorf("indexing the volumes of a %T: it is no Pod", object)
	}
	var keys []string
	for i := range pod.Spec.Volumes {
		if claim := pod.Spec.Volumes[i].PersistentVolumeClaim; claim != nil {
			keys = append(keys, types.NamespacedName{Namespace: pod.Namespace, Name: claim.ClaimName}.String())
		}
	}
	return keys, nil
}

// Borrowers returns the Pods that use one of these claims and that the owner does not control, by the name of the claim, each list sorted by name. One that has ended uses
// nothing, as Kubernetes sees it, too: the Pods of a finished Job may be kept for months.
func (r *Reader) Borrowers(ctx context.Context, owner Owner, all []*corev1.PersistentVolumeClaim, source Source) (map[string][]*corev1.Pod, error) {
	if len(all) == 0 {
		return nil, nil
	}
	usersOf, err := r.claimUsers(ctx, owner, source)
	if err != nil {
		return nil, fmt.Errorf("listing the Pods that use claims: %w", err)
	}
	var found map[string][]*corev1.Pod
	for _, claim := range all {
		users, err := usersOf(client.ObjectKeyFromObject(claim).String())
		if err != nil {
			return nil, fmt.Errorf("listing the Pods that use claim %s: %w", claim.Name, err)
		}
		for _, user := range users {
			pod, isPod := user.(*corev1.Pod)
			if !isPod || metav1.IsControlledBy(pod, owner.Object) || hasEnded(pod) {
				continue
			}
			if found == nil {
				found = map[string][]*corev1.Pod{}
			}
			found[claim.Name] = append(found[claim.Name], pod)
		}
	}
	for _, list := range found {
		slices.SortFunc(list, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	}
	return found, nil
}

func hasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// claimUsers finds the Pods under the keys of ClaimUserIndex: in the cache, or among those that the API server lists now.
func (r *Reader) claimUsers(ctx context.Context, owner Owner, source Source) (func(key string) ([]any, error), error) {
	if source == FromCache {
		return func(key string) ([]any, error) { return r.PodIndex.ByIndex(ClaimUserIndex, key) }, nil
	}
	var list corev1.PodList
	if err := r.Live.List(ctx, &list, client.InNamespace(owner.Object.GetNamespace())); err != nil {
		return nil, err
	}
	index := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{ClaimUserIndex: IndexClaimUsers})
	for i := range list.Items {
		if err := index.Add(&list.Items[i]); err != nil {
			return nil, err
		}
	}
	return func(key string) ([]any, error) { return index.ByIndex(ClaimUserIndex, key) }, nil
}

// Pod returns the Facts of one Pod, whomever it belongs to; nil when there is none.
func (r *Reader) Pod(ctx context.Context, key types.NamespacedName, source Source) (*pods.Facts, error) {
	if source == FromServer {
		pod := &corev1.Pod{}
		if err := r.Live.Get(ctx, key, pod); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		return pods.Read(pod), nil
	}
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
