// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

// Pod is what the arithmetic asks of one Pod.
type Pod struct {
	// New says that the Pod is at the update revision.
	New bool
	// PreparingDelete says that the Pod waits for its preDelete hook.
	PreparingDelete bool
	// ToDelete says that somebody asked for the deletion of this very Pod.
	ToDelete bool
	// Available says that the Pod serves.
	Available bool
}

// Input is one question to the arithmetic.
type Input struct {
	Limits
	Pods []Pod
	// Rollback lets the number of updated Pods shrink when the partition grows.
	Rollback bool
	// ExcludePreparingDelete leaves Pods in PreparingDelete out of the count.
	ExcludePreparingDelete bool
	// Quiet says that the update which is due takes no Pod out of service: none is created ahead of it, and as many change at once as if there were.
	Quiet bool
}

// Result says how many Pods to create, delete and update.
type Result struct {
	// Create is how many Pods are missing, CreateOld how many of them at the old revision, and CreateNow how many the limit on scaling lets
	// be created at once.
	Create, CreateOld, CreateNow int
	// Delete is how many Pods are too many beside those to delete anyway, DeleteOld how many of them at the old revision.
	Delete, DeleteOld int
	// DeleteServing is how many Pods that serve may be deleted now: so many that enough stay available if each of them is.
	DeleteServing int
	// Update is how many Pods to bring to the update revision; a negative number goes back to the current revision.
	Update int
	// UpdateMaxUnavailable is how many Pods may be unavailable during the update, surplus ones included.
	UpdateMaxUnavailable int
}

// tally counts Pods by revision: the Pods that count, those in PreparingDelete, and those to delete.
type tally struct {
	active, preparing, toDelete int
}

// Calculate answers how many Pods to create, delete and update now.
func Calculate(in Input) Result {
	old, updated, unavailable := in.count()
	toUpdate, toRevert := in.pending(old, updated)
	surge, surgeOld := in.surge(surgeQuestion{old: old, updated: updated, unavailable: unavailable, toUpdate: toUpdate, toRevert: toRevert})

	// Pods in PreparingDelete count until they are gone, so that they are not replaced early. They are on their way out all the same: no
	// other Pod is deleted in their place.
	currentOld, currentNew := old.active, updated.active
	leavingOld, leavingNew := old.toDelete, updated.toDelete
	if !in.ExcludePreparingDelete {
		currentOld += old.preparing
		currentNew += updated.preparing
		leavingOld += old.preparing
		leavingNew += updated.preparing
	}
	missing := in.Replicas + surge - currentOld - currentNew
	missingOld := in.Partition + surgeOld - currentOld
	var r Result
	if missing > 0 {
		r.Create = missing
		r.CreateOld = min(max(missingOld, 0), missing)
		r.CreateNow = min(missing, max(in.ScaleMaxUnavailable-unavailable, 0))
	}
	if surplus := -missing - leavingOld - leavingNew; surplus > 0 {
		r.Delete = surplus
		r.DeleteOld = min(max(-missingOld-leavingOld, 0), surplus)
	}
	if r.Delete > 0 || old.toDelete+updated.toDelete > 0 {
		r.DeleteServing = max(in.MaxUnavailable-in.Replicas+in.available(), 0)
	}
	r.Update = smaller(toUpdate, toRevert)
	r.UpdateMaxUnavailable = in.MaxUnavailable + len(in.Pods) - in.Replicas
	if in.Quiet {
		r.UpdateMaxUnavailable += in.MaxSurge
	}
	return r
}

// Due is how many Pods Calculate brings to the update revision, of so many that all serve and stay: by their numbers alone, whose size costs nothing.
func Due(l Limits, old, updated int) int {
	return smaller(Input{Limits: l}.pending(tally{active: old}, tally{active: updated}))
}

// count tallies the Pods. Those that are to be deleted are not counted as unavailable here: asking for the deletion of an unavailable Pod
// must not make its own replacement wait.
func (in Input) count() (old, updated tally, unavailable int) {
	for _, p := range in.Pods {
		t := &old
		if p.New {
			t = &updated
		}
		switch {
		case p.PreparingDelete:
			t.preparing++
			unavailable++
			continue
		case p.ToDelete:
			t.toDelete++
		case !p.Available:
			unavailable++
		}
		t.active++
	}
	return old, updated, unavailable
}

// available counts all Pods that serve, those to delete too.
func (in Input) available() int {
	n := 0
	for _, p := range in.Pods {
		if p.Available {
			n++
		}
	}
	return n
}

// pending is how many old Pods are too many, and how many new ones are missing; both are negative in a rollback. A new Pod that is to be deleted
// is missing already: it may have to wait until the last old one, which does not serve, is updated.
func (in Input) pending(old, updated tally) (tooManyOld, tooFewNew int) {
	tooManyOld = old.active - in.Partition
	tooFewNew = in.Replicas - in.Partition - (updated.active - updated.toDelete)
	if !in.Rollback {
		return max(tooManyOld, 0), max(tooFewNew, 0)
	}
	return tooManyOld, tooFewNew
}

type surgeQuestion struct {
	old, updated       tally
	unavailable        int
	toUpdate, toRevert int
}

// surge is how many Pods to have beyond the replicas now, and how many of these at the old revision. A surge replaces Pods that were asked
// to be deleted, or goes ahead of an update; the larger of the two counts, because one pass never does both.
//
//	maxUnavailable 1, one Pod is unavailable, another is to be deleted => 1 + 1 - 1 = 1: its replacement comes first
func (in Input) surge(q surgeQuestion) (surge, old int) {
	if in.MaxSurge == 0 {
		return 0, 0
	}
	toDelete := q.old.toDelete + q.updated.toDelete
	forScale := min(max(q.unavailable+toDelete-in.MaxUnavailable, 0), toDelete)
	forScaleOld := max(forScale-q.updated.toDelete, 0)
	forUpdate, forUpdateOld := 0, 0
	switch n := smaller(q.toUpdate, q.toRevert); {
	case in.Quiet:
	case n > 0:
		forUpdate = n
	case n < 0:
		forUpdate, forUpdateOld = -n, -n
	}
	if forScale >= forUpdate {
		surge, old = forScale, forScaleOld
	} else {
		surge, old = forUpdate, forUpdateOld
	}
	surge = min(surge, in.MaxSurge)
	return surge, min(old, surge)
}

// smaller is the one of two numbers of the same sign that is nearer to zero, or zero when their signs differ: only then do the Pods too
// many on one side fill the gap on the other.
func smaller(a, b int) int {
	switch {
	case a > 0 && b > 0:
		return min(a, b)
	case a < 0 && b < 0:
		return max(a, b)
	default:
		return 0
	}
}
