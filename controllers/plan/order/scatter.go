// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order

import (
	"math"
	"slices"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// Scatter spreads the Pods that carry a label over the whole update, so that they are not all away at once, and returns the Pods to update in
// their new order. All are the Pods of the workload, updated ones too: they tell how dense the label is where nothing has been updated. The
// terms are applied one after the other; of several only those count that a Pod to update carries, the most frequent one first.
// Pods that are alike for a term keep their order.
func Scatter(candidates, all []*pods.Facts, terms pub.UpdateScatterStrategy) []*pods.Facts {
	for _, term := range relevant(candidates, terms) {
		candidates = scatterBy(candidates, all, term)
	}
	return candidates
}

// relevant are the terms in the order in which they are applied. A single one is taken as it is.
func relevant(candidates []*pods.Facts, terms pub.UpdateScatterStrategy) []pub.UpdateScatterTerm {
	if len(terms) <= 1 {
		return terms
	}
	type counted struct {
		term  pub.UpdateScatterTerm
		count int
	}
	var found []counted
	for _, term := range terms {
		if n := countCarriers(candidates, term); n > 0 {
			found = append(found, counted{term: term, count: n})
		}
	}
	slices.SortStableFunc(found, func(a, b counted) int { return b.count - a.count })
	sorted := make([]pub.UpdateScatterTerm, 0, len(found))
	for _, c := range found {
		sorted = append(sorted, c.term)
	}
	return sorted
}

func carries(f *pods.Facts, term pub.UpdateScatterTerm) bool {
	value, found := f.Pod.Labels[term.Key]
	return found && value == term.Value
}

func countCarriers(all []*pods.Facts, term pub.UpdateScatterTerm) int {
	n := 0
	for _, f := range all {
		if carries(f, term) {
			n++
		}
	}
	return n
}

// scatterBy spreads the Pods that carry one label. The last of them comes at the very end; the others alternate in groups with the Pods that do
// not carry it.
// COMPAT: where only one Pod of a kind is left, it stays where the order before has put it.
//
//	nothing is updated yet; three of nine Pods carry the label, M, and six do not, u
//	 => one M is kept for the end; 2 M and 6 u make min(2, 6) = 2 groups of 2/2 M and 6/2 u: M u u u  M u u u  M
//
//	the first of them is updated; 2 M and 6 u are left
//	 => one M is kept for the end; 1 M and 6 u would make one group, M u u u u u u, and M would come too early: among all nine Pods there is one M
//	    for three u. So the groups are those of all Pods, and the u that are too many for them go first: u u u  M u u u  M
func scatterBy(candidates, all []*pods.Facts, term pub.UpdateScatterTerm) []*pods.Facts {
	matched, others := split(candidates, term)
	if len(matched) <= 1 || len(others) <= 1 {
		return candidates
	}
	last := matched[len(matched)-1]
	matched = matched[:len(matched)-1]
	totalMatched := countCarriers(all, term)
	totalOthers := len(all) - totalMatched
	totalMatched = max(totalMatched-1, 1)

	rhythm := rhythmOf(len(matched), len(others))
	before := 0
	if totalOthers*len(matched) < len(others)*totalMatched {
		rhythm = rhythmOf(totalMatched, totalOthers)
		rhythm.groups = min(len(matched)/rhythm.matched, len(others)/rhythm.others)
		before = len(others) - rhythm.groups*rhythm.others
	}
	return append(rhythm.alternate(matched, others, before), last)
}

func split(candidates []*pods.Facts, term pub.UpdateScatterTerm) (matched, others []*pods.Facts) {
	for _, f := range candidates {
		if carries(f, term) {
			matched = append(matched, f)
		} else {
			others = append(others, f)
		}
	}
	return matched, others
}

// rhythm is how two kinds of Pods alternate: so many times a group of the one and a group of the other.
type rhythm struct {
	groups, matched, others int
}

// rhythmOf makes as many groups as there are Pods of the rarer kind. Both numbers must be larger than 0.
func rhythmOf(matched, others int) rhythm {
	groups := min(matched, others)
	round := func(n int) int { return int(math.Round(float64(n) / float64(groups))) }
	return rhythm{groups: groups, matched: round(matched), others: round(others)}
}

// alternate puts so many of the others first, then the groups, then what is left.
func (r rhythm) alternate(matched, others []*pods.Facts, before int) []*pods.Facts {
	line := make([]*pods.Facts, 0, len(matched)+len(others)+1)
	take := func(from *[]*pods.Facts, n int) {
		n = min(n, len(*from))
		line = append(line, (*from)[:n]...)
		*from = (*from)[n:]
	}
	take(&others, before)
	for range r.groups {
		take(&matched, r.matched)
		take(&others, r.others)
	}
	take(&matched, len(matched))
	take(&others, len(others))
	return line
}
