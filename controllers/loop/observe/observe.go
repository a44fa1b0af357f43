// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observe reads what a workload owns into the values that a Plan looks at.
//
//	index: controller UID ──► Pods, ControllerRevisions ── claim ──► Facts (parsed once per resourceVersion)
//
// Reads come from the cache and are not copied: nobody may write to what they return.
package observe

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// ControllerIndex is the name of the index of children by the UID of their controller; orphans are under the empty UID.
const ControllerIndex = "keelson.controllerUID"

// Index computes the key of ControllerIndex.
func Index(object client.Object) []string {
	if controller := metav1.GetControllerOfNoCopy(object); controller != nil {
		return []string{string(controller.UID)}
	}
	return []string{""}
}

// Reader observes.
type Reader struct {
	// Client reads from the cache, and writes owner references.
	Client client.Client
	// Live reads from the API server.
	Live     client.Reader
	Inflight *inflight.Tracker

	facts sync.Map // types.UID of the owner -> map[types.UID]*pods.Facts
	kept  sync.Map // types.UID of the owner -> []string, instance IDs
}

// Source says where to read from.
type Source int

const (
	// FromCache reads what the informers hold.
	FromCache Source = iota
	// FromServer reads from the API server, after the cache was seen to lag for too long.
	FromServer
)

// Pods returns the Facts of the Pods that the owner controls, after claiming.
func (r *Reader) Pods(ctx context.Context, owner Owner, source Source) ([]*pods.Facts, error) {
	var list corev1.PodList
	if err := r.list(ctx, &list, owner, source); err != nil {
		return nil, fmt.Errorf("listing Pods: %w", err)
	}
	c := &claims{Reader: r, owner: owner}
	known, _ := r.facts.Load(owner.Object.GetUID())
	old, _ := known.(map[types.UID]*pods.Facts)
	fresh := make(map[types.UID]*pods.Facts, len(list.Items))
	all := make([]*pods.Facts, 0, len(list.Items))
	for i := range list.Items {
		mine, err := c.claim(ctx, &list.Items[i])
		if err != nil {
			return nil, err
		}
		pod, isMine := mine.(*corev1.Pod)
		if !isMine {
			continue
		}
		f := old[pod.UID]
		if f == nil || f.Pod.ResourceVersion != pod.ResourceVersion {
			f = pods.Read(alone(pod))
		}
		fresh[pod.UID] = f
		all = append(all, f)
	}
	r.facts.Store(owner.Object.GetUID(), fresh)
	return all, nil
}

// alone is the Pod outside the list that it came in: Facts outlive the list, and one that pointed into it would keep all of it in memory.
func alone(pod *corev1.Pod) *corev1.Pod {
	single := *pod
	return &single
}

// Revisions returns the ControllerRevisions that the owner controls, after claiming.
func (r *Reader) Revisions(ctx context.Context, owner Owner, source Source) ([]*appsv1.ControllerRevision, error) {
	var list appsv1.ControllerRevisionList
	if err := r.list(ctx, &list, owner, source); err != nil {
		return nil, fmt.Errorf("listing ControllerRevisions: %w", err)
	}
	c := &claims{Reader: r, owner: owner}
	var all []*appsv1.ControllerRevision
	for i := range list.Items {
		mine, err := c.claim(ctx, &list.Items[i])
		if err != nil {
			return nil, err
		}
		if rev, isMine := mine.(*appsv1.ControllerRevision); isMine {
			all = append(all, rev)
		}
	}
	return all, nil
}

// list reads the owner's children and the orphans of its namespace.
func (r *Reader) list(ctx context.Context, into client.ObjectList, owner Owner, source Source) error {
	namespace := client.InNamespace(owner.Object.GetNamespace())
	if source == FromServer {
		return r.Live.List(ctx, into, namespace)
	}
	orphans := into.DeepCopyObject().(client.ObjectList)
	if err := r.Client.List(ctx, orphans, namespace, client.MatchingFields{ControllerIndex: ""}, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	uid := string(owner.Object.GetUID())
	if err := r.Client.List(ctx, into, namespace, client.MatchingFields{ControllerIndex: uid}, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	return join(into, orphans)
}

func join(into, more client.ObjectList) error {
	switch target := into.(type) {
	case *corev1.PodList:
		target.Items = append(target.Items, more.(*corev1.PodList).Items...)
	case *appsv1.ControllerRevisionList:
		target.Items = append(target.Items, more.(*appsv1.ControllerRevisionList).Items...)
	default:
		return fmt.Errorf("joining lists of %T: not supported", into)
	}
	return nil
}

// Forget drops what is cached for an owner that is gone.
func (r *Reader) Forget(owner types.UID) {
	r.facts.Delete(owner)
	r.kept.Delete(owner)
	r.Inflight.Forget(owner)
}

// maxFresh bounds how many Pods one pass may create.
const maxFresh = 500

// FreshIDs draws instance IDs that none of the taken ones equals, at most 500. Those that were kept come first.
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
