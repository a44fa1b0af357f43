// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observe reads what a workload owns into the values that a Plan looks at.
//
//	index: controller UID ──► Pods, ControllerRevisions ── claim ──► Facts (parsed once per version of a Pod)
//	                      ──► PersistentVolumeClaims, which are never claimed
//
// Reads come from the informers' own indexes and are not copied: nobody may write to what they return.
package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// ControllerIndex is the name of the index of children by the UID of their controller; orphans are under their namespace.
const ControllerIndex = "keelson.controller"

// Index computes the key of ControllerIndex.
func Index(object any) ([]string, error) {
	child, err := meta.Accessor(object)
	if err != nil {
		return nil, fmt.Errorf("indexing %T: %w", object, err)
	}
	if controller := metav1.GetControllerOfNoCopy(child); controller != nil {
		return []string{string(controller.UID)}, nil
	}
	return []string{orphans(child.GetNamespace())}, nil
}

// orphans is the key of what has no controller; no UID looks like it.
func orphans(namespace string) string { return "orphans/" + namespace }

// Reader observes.
type Reader struct {
	// Client writes owner references.
	Client client.Client
	// Live reads from the API server.
	Live     client.Reader
	Inflight *inflight.Tracker
	// PodIndex, RevisionIndex and ClaimIndex are what the informers hold, indexed by ControllerIndex.
	PodIndex, RevisionIndex, ClaimIndex toolscache.Indexer

	shelves sync.Map // types.UID of the owner -> *shelf
	kept    sync.Map // types.UID of the owner -> []string, instance IDs
}

// Source says where to read from.
type Source int

const (
	// FromCache reads what the informers hold.
	FromCache Source = iota
	// FromServer reads from the API server, after the cache was seen to lag for too long. A pass reads all that it looks at from there, its owner too: each read
	// shows all that was written for the owner before, and nobody writes for it meanwhile, so that what is read fits together.
	FromServer
)

// Pods returns the Facts of the Pods that the owner controls, after claiming.
func (r *Reader) Pods(ctx context.Context, owner Owner, source Source) ([]*pods.Facts, error) {
	list, err := r.podList(ctx, owner, source)
	if err != nil {
		return nil, fmt.Errorf("listing Pods: %w", err)
	}
	s := r.shelf(owner)
	c := &claims{Reader: r, owner: owner}
	all := make([]*pods.Facts, 0, len(list))
	for _, pod := range list {
		if f := s.find(pod); f != nil {
			all = append(all, f)
			continue
		}
		mine, err := c.claim(ctx, pod)
		if err != nil {
			return nil, err
		}
		if claimed, isMine := mine.(*corev1.Pod); isMine {
			all = append(all, s.put(claimed))
		}
	}
	s.sweep(len(all))
	return all, nil
}

func (r *Reader) podList(ctx context.Context, owner Owner, source Source) ([]*corev1.Pod, error) {
	if source == FromCache {
		return ownAndOrphans[*corev1.Pod](r.PodIndex, owner)
	}
	var list corev1.PodList
	err := r.listLive(ctx, owner, &list)
	return pointers(list.Items), err
}

// Revisions returns the ControllerRevisions that the owner controls, after claiming.
func (r *Reader) Revisions(ctx context.Context, owner Owner, source Source) ([]*appsv1.ControllerRevision, error) {
	list, err := r.revisionList(ctx, owner, source)
	if err != nil {
		return nil, fmt.Errorf("listing ControllerRevisions: %w", err)
	}
	c := &claims{Reader: r, owner: owner}
	// A revision that cannot be let go ends the pass: the history would lack it.
	c.owner.Unreleased = nil
	var all []*appsv1.ControllerRevision
	for _, rev := range list {
		mine, err := c.claim(ctx, rev)
		if err != nil {
			return nil, err
		}
		if claimed, isMine := mine.(*appsv1.ControllerRevision); isMine {
			all = append(all, claimed)
		}
	}
	return all, nil
}

func (r *Reader) revisionList(ctx context.Context, owner Owner, source Source) ([]*appsv1.ControllerRevision, error) {
	if source == FromCache {
		return ownAndOrphans[*appsv1.ControllerRevision](r.RevisionIndex, owner)
	}
	var list appsv1.ControllerRevisionList
	err := r.listLive(ctx, owner, &list)
	return pointers(list.Items), err
}

// listLive lists the objects of a kind in the owner's namespace as the API server has them now. It tells inflight, which waits for deletions.
func (r *Reader) listLive(ctx context.Context, owner Owner, list client.ObjectList) error {
	kind, err := inflight.KindOf(r.Client, list)
	if err != nil {
		return err
	}
	if err := r.Live.List(ctx, list, client.InNamespace(owner.Object.GetNamespace())); err != nil {
		return err
	}
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	newest := ""
	err = meta.EachListItem(list, func(item runtime.Object) error {
		if object, err := meta.Accessor(item); err == nil && inflight.IsNewer(object.GetResourceVersion(), newest) {
			newest = object.GetResourceVersion()
		}
		return nil
	})
	r.Inflight.Listed(owner.Object.GetUID(), kind, list.GetResourceVersion(), newest)
	return err
}

// ownAndOrphans are what the owner controls and the orphans of its namespace.
func ownAndOrphans[T client.Object](index toolscache.Indexer, owner Owner) ([]T, error) {
	return indexed[T](index, string(owner.Object.GetUID()), orphans(owner.Object.GetNamespace()))
}

// indexed are the objects under some keys of ControllerIndex, as the informer holds them: nothing is copied.
func indexed[T client.Object](index toolscache.Indexer, keys ...string) ([]T, error) {
	var all []T
	for _, key := range keys {
		found, err := index.ByIndex(ControllerIndex, key)
		if err != nil {
			return nil, err
		}
		all = slices.Grow(all, len(found))
		for _, object := range found {
			child, isChild := object.(T)
			if !isChild {
				return nil, fmt.Errorf("reading the cache: it holds a %T", object)
			}
			all = append(all, child)
		}
	}
	return all, nil
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}

// Forget drops what is cached for an owner that is gone.
func (r *Reader) Forget(owner types.UID) {
	r.shelves.Delete(owner)
	r.kept.Delete(owner)
	r.Inflight.Forget(owner)
}

// maxFresh bounds how many Pods one pass creates. Between two passes the Pods that have got a node are made ready, which must not wait until all are created.
const maxFresh = 100

// FreshIDs draws instance IDs that none of the taken ones equals, at most 100. Those that were kept come first.
func (r *Reader) FreshIDs(owner types.UID, n int, taken map[string]bool) []string {
	n = min(max(n, 0), maxFresh)
	ids := make([]string, 0, n)
	drawn := make(map[string]bool, n)
	add := func(id string) {
		if len(ids) < n && !taken[id] && !drawn[id] {
			drawn[id] = true
			ids = append(ids, id)
		}
	}
	if kept, found := r.kept.LoadAndDelete(owner); found {
		for _, id := range kept.([]string) {
			add(id)
		}
	}
	for len(ids) < n {
		add(rand.String(5))
	}
	return ids
}

// Keep offers IDs again to the next pass, because this one failed. The retry then asks for the same Pods, and its refusal reads the same: a
// status that changed each time would be an event, and the event the next retry, without any back-off.
func (r *Reader) Keep(owner types.UID, ids []string) { r.kept.Store(owner, ids) }
