// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"encoding/json"
	"time"

	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/revision"
)

const defaultRevisionHistoryLimit = 10

// keepRevision writes the update revision into the history where it is missing or not the newest. Nothing else may happen before: Pods
// must not carry a revision that nobody can look up.
func (v *view) keepRevision(d *plan.Decision) bool {
	c := v.choice
	if c.Create {
		rev := c.Update.DeepCopy()
		rev.Revision = c.Number
		d.Act(plan.Action{Verb: plan.Create, Phase: plan.PhaseRevision, Object: rev, IfExists: v.ifRevisionTaken()})
		return true
	}
	if !v.comesBack() {
		return false
	}
	// COMPAT: the hash of the claim templates is refreshed only when an older revision comes back. Templates that change alone make no revision, and no Pod
	// changes; the one that there is keeps telling with which templates its Pods were made, so that the next update recreates them.
	raw, err := json.Marshal(map[string]any{"revision": c.Number, "metadata": map[string]any{"annotations": claimsMarks(v.Set)}})
	if err != nil {
		// NOTE: numbers and texts always encode.
		panic(err)
	}
	d.Act(plan.Action{Verb: plan.Patch, Phase: plan.PhaseRevision, Object: c.Update, Changes: []plan.Change{{Patch: raw}}})
	return true
}

// ifRevisionTaken says what it means that the name of a new revision is taken: that another has the same hash. A cache may not show yet that it is ours, made by whoever
// worked before; then it is looked up first.
func (v *view) ifRevisionTaken() plan.IfExists {
	if v.IsLive {
		return plan.ExistsFails
	}
	return plan.ExistsDefers
}

// comesBack reports whether the update revision is an older one that becomes the newest.
func (v *view) comesBack() bool {
	return !v.choice.Create && v.choice.Number != v.choice.Update.Revision
}

// truncateHistory deletes the oldest revisions that no Pod has and that are beyond the limit.
func (v *view) truncateHistory(d *plan.Decision) {
	limit := defaultRevisionHistoryLimit
	if v.Set.Spec.RevisionHistoryLimit != nil {
		limit = int(*v.Set.Spec.RevisionHistoryLimit)
	}
	if len(v.history) <= limit {
		return
	}
	used := map[string]bool{
		revision.ShortHash(v.choice.Update.Name):  true,
		revision.ShortHash(v.choice.Current.Name): true,
	}
	for _, f := range v.Pods {
		used[revision.ShortHash(f.Revision)] = true
	}
	inUse := func(name string) bool { return used[revision.ShortHash(name)] }
	for _, rev := range revision.Surplus(v.history, inUse, limit) {
		d.Act(plan.Action{Verb: plan.Delete, Phase: plan.PhaseRevision, Object: rev})
	}
}

// wake plans again when the next ready Pod becomes available, and when a deadline for progress passes.
func (v *view) wake(d *plan.Decision) {
	v.awaitDeadlines(d)
	for _, f := range v.active {
		if left := f.AvailableIn(v.clock.MinReadySeconds, v.Now); f.IsServing() && left > 0 {
			d.WakeIn(left, "a ready Pod becomes available after minReadySeconds")
		}
	}
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
