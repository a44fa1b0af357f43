// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"context"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// observe reads all that a plan of this CloneSet looks at. Nothing is claimed by a selector that cannot be right: the plan tells why.
func (r *Reconciler) observe(ctx context.Context, set *kruisev1beta1.CloneSet, source observe.Source) (Snapshot, error) {
	s := Snapshot{Set: set, Policy: r.policy, Now: time.Now(), IsLive: source == observe.FromServer}
	selector, err := selectorOf(set)
	if err != nil {
		return s, nil
	}
	owner := observe.Owner{
		Object: set, Kind: kruisev1beta1.GroupVersion.WithKind("CloneSet"), Selector: selector,
		MayAdopt: func(orphan client.Object) bool { return wasOurs(set, orphan) },
		Unreleased: func(child client.Object, err error) {
			if s.Unreleased == nil {
				s.Unreleased = map[string]error{}
			}
			s.Unreleased[child.GetName()] = err
		},
	}
	if s.Pods, err = r.reader.Pods(ctx, owner, source); err != nil {
		return Snapshot{}, err
	}
	if s.Revisions, err = r.reader.Revisions(ctx, owner, source); err != nil {
		return Snapshot{}, err
	}
	// A plan that cannot encode the template says so itself.
	s.Wanted = r.wanted(set)
	if s.Claims, err = r.reader.VolumeClaims(ctx, owner, source); err != nil {
		return Snapshot{}, err
	}
	if s.Released, err = r.released(ctx, s, source); err != nil {
		return Snapshot{}, err
	}
	if s.Borrowers, err = r.reader.Borrowers(ctx, owner, s.Claims, source); err != nil {
		return Snapshot{}, err
	}
	s.FreshIDs = r.freshIDs(set, s.Pods)
	return s, nil
}

// encoded is the revision of a set's template, and of what it was made.
type encoded struct {
	generation int64
	collisions int32
	revision   *appsv1.ControllerRevision
}

// wanted encodes the template once for each generation of a set; nil when it cannot be encoded.
func (r *Reconciler) wanted(set *kruisev1beta1.CloneSet) *appsv1.ControllerRevision {
	collisions := ptr.Deref(set.Status.CollisionCount, 0)
	if known, found := r.encoded.Get(set.UID); found {
		if e := known.(encoded); e.generation == set.Generation && e.collisions == collisions {
			return e.revision
		}
	}
	rev, err := Wanted(set)
	if err != nil {
		return nil
	}
	r.encoded.Add(set.UID, encoded{generation: set.Generation, collisions: collisions, revision: rev})
	return rev
}

// released finds the Pods of those claims whose Pod does not belong to the set any more: somebody changed its labels to look at it, and it lives on.
func (r *Reconciler) released(ctx context.Context, s Snapshot, source observe.Source) (map[string]*pods.Facts, error) {
	if len(s.Claims) == 0 {
		return nil, nil
	}
	asked := make(map[string]bool, len(s.Pods))
	for _, f := range s.Pods {
		asked[instanceOf(f)] = true
	}
	found := map[string]*pods.Facts{}
	for _, claim := range s.Claims {
		id := claim.Labels[kruisev1beta1.CloneSetInstanceIDKey]
		if id == "" || asked[id] {
			continue
		}
		asked[id] = true
		f, err := r.reader.Pod(ctx, types.NamespacedName{Namespace: s.Set.Namespace, Name: s.Set.Name + "-" + id}, source)
		if err != nil {
			return nil, err
		}
		if f != nil {
			found[id] = f
		}
	}
	return found, nil
}

// freshIDs draws as many IDs as Pods may be missing, replicas and surge together. Without any missing it costs nothing.
func (r *Reconciler) freshIDs(set *kruisev1beta1.CloneSet, all []*pods.Facts) []string {
	missing := mostPods(set)
	for _, f := range all {
		if f.IsActive() && !f.IsPreparingDelete() {
			missing--
		}
	}
	if missing <= 0 {
		return nil
	}
	taken := make(map[string]bool, len(all))
	for _, f := range all {
		taken[f.Pod.Labels[kruisev1beta1.CloneSetInstanceIDKey]] = true
	}
	// A new Pod must not get the name of one that is to be deleted: the name stays in the spec when that Pod is gone.
	for _, name := range set.Spec.ScaleStrategy.PodsToDelete {
		taken[strings.TrimPrefix(name, set.Name+"-")] = true
	}
	return r.reader.FreshIDs(set.UID, missing, taken)
}
