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
// COMPAT: not scheduled, pending, unavailable and not ready Pods go first, then a low deletion cost, a crowded node, a recent
// readiness, many restarts and a recent creation.
func ForDelete(all []*pods.Facts, clock Clock) {
	crowd := perNode(all)
	slices.SortStableFunc(all, func(a, b *pods.Facts) int {
		return firstNonZero(
			compareHealth(a, b, clock),
			cmp.Compare(a.DeletionCost, b.DeletionCost),
			cmp.Compare(crowd[b.Pod.Spec.NodeName], crowd[a.Pod.Spec.NodeName]),
			compareAge(a, b),
		)
	})
}

// ForUpdate sorts Pods so that the one to update first comes first: the least healthy ones, those that wait in PreparingUpdate before
// the others.
func ForUpdate(all []*pods.Facts, clock Clock) {
	slices.SortStableFunc(all, func(a, b *pods.Facts) int {
		return firstNonZero(
			falseFirst(a.State != pub.LifecycleStatePreparingUpdate, b.State != pub.LifecycleStatePreparingUpdate),
			compareHealth(a, b, clock),
			cmp.Compare(a.DeletionCost, b.DeletionCost),
			compareAge(a, b),
		)
	})
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

// perNode counts the Pods of each node; Pods without one do not crowd each other.
func perNode(all []*pods.Facts) map[string]int {
	count := map[string]int{}
	for _, f := range all {
		if f.Scheduled {
			count[f.Pod.Spec.NodeName]++
		}
	}
	return count
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
