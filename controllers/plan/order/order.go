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
	type ranked struct {
		*pods.Facts
		rank float64
	}
	line := make([]ranked, len(all))
	for i, f := range all {
		line[i] = ranked{Facts: f, rank: spread.Rank(f)}
	}
	slices.SortStableFunc(line, func(a, b ranked) int {
		return firstNonZero(
			compareHealth(a.Facts, b.Facts, clock),
			cmp.Compare(a.DeletionCost, b.DeletionCost),
			cmp.Compare(b.rank, a.rank),
			compareAge(a.Facts, b.Facts),
		)
	})
	for i := range line {
		all[i] = line[i].Facts
	}
}

// Strategy is what a user says about the order of an update; the zero value says nothing.
type Strategy struct {
	Priority *pub.UpdatePriorityStrategy
	Scatter  pub.UpdateScatterStrategy
}

// ForUpdate puts the Pods to update into their order and returns them: the least healthy ones first, unless the user's strategy says otherwise.
// Those that wait in PreparingUpdate come before all others, because their update has begun. All are the Pods of the workload, those to
// update among them.
// COMPAT: unlike in a deletion, neither the deletion cost nor the place matters.
func ForUpdate(candidates, all []*pods.Facts, s Strategy, clock Clock) []*pods.Facts {
	slices.SortStableFunc(candidates, func(a, b *pods.Facts) int {
		return firstNonZero(compareHealth(a, b, clock), compareAge(a, b))
	})
	Prioritize(candidates, s.Priority)
	candidates = Scatter(candidates, all, s.Scatter)
	slices.SortStableFunc(candidates, func(a, b *pods.Facts) int {
		return falseFirst(a.State != pub.LifecycleStatePreparingUpdate, b.State != pub.LifecycleStatePreparingUpdate)
	})
	return candidates
}

// compareHealth puts the Pod that serves less first.
func compareHealth(a, b *pods.Facts, clock Clock) int {
	return firstNonZero(
		falseFirst(a.Scheduled, b.Scheduled),
		cmp.Compare(phaseRank(a), phaseRank(b)),
		falseFirst(a.IsAvailable(clock.MinReadySeconds, clock.Now), b.IsAvailable(clock.MinReadySeconds, clock.Now)),
		falseFirst(a.Ready, b.Ready),
	)
}

func compareAge(a, b *pods.Facts) int {
	return firstNonZero(
		compareReadySince(a, b),
		cmp.Compare(b.Restarts, a.Restarts),
		b.Pod.CreationTimestamp.Compare(a.Pod.CreationTimestamp.Time),
		strings.Compare(a.Pod.Name, b.Pod.Name),
	)
}

// compareReadySince puts the Pod that has been ready for a shorter time first; it says nothing where one is not ready.
func compareReadySince(a, b *pods.Facts) int {
	if !a.Ready || !b.Ready {
		return 0
	}
	return b.ReadySince.Compare(a.ReadySince)
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

func firstNonZero(results ...int) int {
	for _, r := range results {
		if r != 0 {
			return r
		}
	}
	return 0
}
