// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// Clock is what the order needs to know of time.
type Clock struct {
	MinReadySeconds int32
	Now             time.Time
}

// ForDelete sorts Pods so that the one to delete first comes first.
// COMPAT: not scheduled, pending, unavailable and not ready Pods go first, then a low deletion cost, a crowded place, a recent
// readiness, many restarts and a recent creation.
func ForDelete(all []*pods.Facts, spread Spread, clock Clock) {
	line := lineUp(all, func(f *pods.Facts) int { return healthForDelete(f, clock) })
	for i := range line {
		line[i].cost = all[i].DeletionCost
	}
	spread.rank(line)
	sortLine(line, all)
}

// Strategy is what a user says about the order of an update; the zero value says nothing.
type Strategy struct {
	Priority *pub.UpdatePriorityStrategy
	Scatter  pub.UpdateScatterStrategy
}

// ForUpdate puts the Pods to update into their order and returns them: the least healthy ones first, unless the user's strategy says otherwise.
// Those that wait in PreparingUpdate come before all others, because their update has begun. All are the Pods of the workload, those to
// update among them.
// COMPAT: unlike in a deletion, neither the deletion cost nor the place matters, nor whether a ready Pod is available.
func ForUpdate(candidates, all []*pods.Facts, s Strategy) []*pods.Facts {
	sortLine(lineUp(candidates, health), candidates)
	Prioritize(candidates, s.Priority)
	candidates = Scatter(candidates, all, s.Scatter)
	slices.SortStableFunc(candidates, func(a, b *pods.Facts) int {
		return falseFirst(a.State != pub.LifecycleStatePreparingUpdate, b.State != pub.LifecycleStatePreparingUpdate)
	})
	return candidates
}

// place is what decides a Pod's place in the line, in this order; it is computed once for each Pod and compared many times.
type place struct {
	// health is lower for a Pod that serves less.
	health int
	cost   int32
	crowd  float64
	// since is when the Pod became ready, in nanoseconds; zero when it is not ready.
	since    int64
	restarts int32
	created  int64
	*pods.Facts
}

func lineUp(all []*pods.Facts, health func(*pods.Facts) int) []place {
	line := make([]place, len(all))
	for i, f := range all {
		p := place{health: health(f), restarts: f.Restarts, created: f.Pod.CreationTimestamp.Unix(), Facts: f}
		if f.Ready {
			p.since = f.ReadySince.UnixNano()
		}
		line[i] = p
	}
	return line
}

// sortLine writes the Pods of a line in its order. Names differ, so the order is the same every time.
func sortLine(line []place, into []*pods.Facts) {
	// Pointers are moved about faster than places.
	sorted := make([]*place, len(line))
	for i := range line {
		sorted[i] = &line[i]
	}
	slices.SortFunc(sorted, (*place).compare)
	for i, p := range sorted {
		into[i] = p.Facts
	}
}

// compare says which of two Pods goes first.
func (p *place) compare(other *place) int {
	switch {
	case p.health != other.health:
		return cmp.Compare(p.health, other.health)
	case p.cost != other.cost:
		return cmp.Compare(p.cost, other.cost)
	case p.crowd != other.crowd:
		return cmp.Compare(other.crowd, p.crowd)
	case p.since != other.since:
		return cmp.Compare(other.since, p.since)
	case p.restarts != other.restarts:
		return cmp.Compare(other.restarts, p.restarts)
	case p.created != other.created:
		return cmp.Compare(other.created, p.created)
	default:
		return strings.Compare(p.Pod.Name, other.Pod.Name)
	}
}

// health ranks a Pod by what is worse first: no node, then a phase before Running, then not ready. For example a running Pod with a node that is ready has
// (3 + 2)*2 + 1 = 11, and one without a node at most 5.
func health(f *pods.Facts) int {
	h := phaseRank(f)
	if f.Scheduled {
		h += 3
	}
	h *= 2
	if f.IsReady() {
		h++
	}
	return h
}

// healthForDelete puts, among Pods of one phase, those that are not available before those that are, and the less healthy first among either. For example a
// running Pod with a node that is ready and not available yet has 3*(3 + 2) + 1 = 16, and one that is available 17.
func healthForDelete(f *pods.Facts, clock Clock) int {
	h := health(f)
	// Who is available is ready: the three ranks of a phase are not ready, ready, and available.
	h = 3*(h/2) + h%2
	if f.IsAvailable(clock.MinReadySeconds, clock.Now) {
		h++
	}
	return h
}

func phaseRank(f *pods.Facts) int {
	switch f.Pod.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	default:
		return 0
	}
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
