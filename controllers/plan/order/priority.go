// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// Prioritize sorts Pods by the user's priorities, and keeps the order of those that are equal in them. Nil, and a strategy without terms, change
// nothing. With weights and keys both, which the API refuses, the weights count.
func Prioritize(all []*pods.Facts, s *pub.UpdatePriorityStrategy) {
	switch {
	case s == nil:
	case len(s.WeightPriority) > 0:
		w := weigher(s.WeightPriority)
		sortBy(all, w.weigh, func(a, b int64) int { return cmp.Compare(b, a) })
	case len(s.OrderPriority) > 0:
		sortBy(all, func(f *pods.Facts) position { return positionOf(f, s.OrderPriority) }, comparePositions)
	}
}

// sortBy sorts by a key that is computed once for each Pod.
func sortBy[K any](all []*pods.Facts, key func(*pods.Facts) K, compare func(a, b K) int) {
	type keyed struct {
		facts *pods.Facts
		key   K
	}
	line := make([]keyed, len(all))
	for i, f := range all {
		line[i] = keyed{facts: f, key: key(f)}
	}
	slices.SortStableFunc(line, func(a, b keyed) int { return compare(a.key, b.key) })
	for i := range line {
		all[i] = line[i].facts
	}
}

// weights are the terms whose selectors can be read.
type weights []struct {
	selector labels.Selector
	weight   int64
}

// weigher reads the selectors. A term whose selector cannot be read has no effect: the webhook refuses it, but it may have been away.
func weigher(terms []pub.UpdatePriorityWeightTerm) weights {
	all := make(weights, 0, len(terms))
	for i := range terms {
		selector, err := metav1.LabelSelectorAsSelector(&terms[i].MatchSelector)
		if err != nil {
			continue
		}
		all = append(all, struct {
			selector labels.Selector
			weight   int64
		}{selector, int64(terms[i].Weight)})
	}
	return all
}

// weigh is the sum of the weights of all terms that select the Pod.
func (w weights) weigh(f *pods.Facts) int64 {
	sum := int64(0)
	for i := range w {
		if w[i].selector.Matches(labels.Set(f.Pod.Labels)) {
			sum += w[i].weight
		}
	}
	return sum
}

// position is where a Pod stands in an order by label keys.
type position struct {
	// level is the index of the first key that the Pod carries.
	// COMPAT: it is -1 when the Pod carries none, so that such Pods come before all others.
	level int
	// digits are those at the end of the label's value, without zeros in front.
	digits string
}

func positionOf(f *pods.Facts, terms []pub.UpdatePriorityOrderTerm) position {
	for level := range terms {
		if value, found := f.Pod.Labels[terms[level].OrderedKey]; found {
			return position{level: level, digits: trailingNumber(value)}
		}
	}
	return position{level: -1}
}

// comparePositions puts an earlier key first, and within one key the larger number. The numbers may have more digits than an integer has room for.
//
//	keys [batch, tier]; values: none, batch=b-2, batch=b-10, tier=front
//	 => none, then b-10, b-2, then front
func comparePositions(a, b position) int {
	return cmp.Or(
		cmp.Compare(a.level, b.level),
		cmp.Compare(len(b.digits), len(a.digits)),
		strings.Compare(b.digits, a.digits),
	)
}

// trailingNumber is the decimal number at the end of a value, without zeros in front: empty for zero and for none.
func trailingNumber(value string) string {
	start := len(value)
	for start > 0 && '0' <= value[start-1] && value[start-1] <= '9' {
		start--
	}
	return strings.TrimLeft(value[start:], "0")
}
