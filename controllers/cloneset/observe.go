// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"context"
	"time"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// observe reads all that a plan of this CloneSet looks at. Nothing is claimed by a selector that cannot be right: the plan tells why.
func (r *Reconciler) observe(ctx context.Context, set *kruisev1beta1.CloneSet, source observe.Source) (Snapshot, error) {
	s := Snapshot{Set: set, Policy: r.policy, Now: time.Now()}
	selector, err := selectorOf(set)
	if err != nil {
		return s, nil
	}
	owner := observe.Owner{Object: set, Kind: kruisev1beta1.GroupVersion.WithKind("CloneSet"), Selector: selector}
	if s.Pods, err = r.reader.Pods(ctx, owner, source); err != nil {
		return Snapshot{}, err
	}
	if s.Revisions, err = r.reader.Revisions(ctx, owner, source); err != nil {
		return Snapshot{}, err
	}
	s.FreshIDs = r.freshIDs(set, s.Pods)
	return s, nil
}

// freshIDs draws enough IDs for whatever a plan may create: as many as replicas and surge together can miss.
func (r *Reconciler) freshIDs(set *kruisev1beta1.CloneSet, all []*pods.Facts) []string {
	taken := make(map[string]bool, len(all))
	active := 0
	for _, f := range all {
		taken[f.Pod.Labels[kruisev1beta1.CloneSetInstanceIDKey]] = true
		if f.IsActive() && !f.IsPreparingDelete() {
			active++
		}
	}
	return r.reader.FreshIDs(set.UID, 2*replicasOf(set)+1-active, taken)
}
