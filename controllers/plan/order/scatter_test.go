// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// line makes Pods from letters: a capital one is the value of the label team, a u has none. A space means nothing.
func line(letters string) []*pods.Facts {
	var all []*pods.Facts
	for i, letter := range strings.ReplaceAll(letters, " ", "") {
		f := serving(fmt.Sprintf("%c-%d", letter, i))
		if letter != 'u' {
			f.Pod.Labels["team"] = string(letter)
		}
		all = append(all, f)
	}
	return all
}

// letters is the reverse of line.
func letters(all []*pods.Facts) string {
	text := ""
	for _, f := range all {
		text += f.Pod.Name[:1]
	}
	return text
}

func teams(values ...string) pub.UpdateScatterStrategy {
	var s pub.UpdateScatterStrategy
	for _, value := range values {
		s = append(s, pub.UpdateScatterTerm{Key: "team", Value: value})
	}
	return s
}

func TestScatter(t *testing.T) {
	for name, tc := range map[string]struct {
		candidates string
		// updated are the Pods of the workload that are not to be updated.
		updated string
		terms   pub.UpdateScatterStrategy
		want    string
	}{
		"no terms keep the order":                        {candidates: "uMuMM", want: "uMuMM"},
		"a term that nobody carries keeps the order":     {candidates: "uMuMM", terms: teams("X"), want: "uMuMM"},
		"the rarer ones are spread, the last to the end": {candidates: "uuuuuuMMM", terms: teams("M"), want: "MuuuMuuuM"},
		"a single one stays where it is":                 {candidates: "uMuu", terms: teams("M"), want: "uMuu"},
		"so it does among its like":                      {candidates: "MMuM", terms: teams("M"), want: "MMuM"},
		"more of them alternate in larger groups":        {candidates: "MMMMMuu", terms: teams("M"), want: "MM u MM u M"},
		"a group of two and a half has three":            {candidates: "MMMMMMuu", terms: teams("M"), want: "MMM u MM u M"},
		"on either side":                                 {candidates: "uuuuuMMM", terms: teams("M"), want: "M uuu M uu M"},
		"what is left over goes before the last":         {candidates: "uuuuMMMM", terms: teams("M"), want: "Mu Mu Mu u M"},
		"an update under way keeps its rhythm":           {candidates: "uuuMM", updated: "Muuu", terms: teams("M"), want: "M uuu M"},
		"where too many were updated others go first":    {candidates: "uuuuuuMM", updated: "M", terms: teams("M"), want: "uuu M uuu M"},
		"and all others where a group is not full":       {candidates: "uuuMM", updated: "MMMMMMM", terms: teams("M"), want: "uuu M M"},
		"where too few were updated they go faster":      {candidates: "uuMMM", updated: "uuuu", terms: teams("M"), want: "Mu Mu M"},
		"of several terms the most frequent comes first": {candidates: "uuuuAABBB", terms: teams("A", "B"), want: "A BuuuBuB A"},
		"of several equally frequent the first in line":  {candidates: "uuuuAABB", terms: teams("A", "B"), want: "B AuuuuA B"},
		"of several those that nobody carries are none":  {candidates: "uuuuuuMMM", terms: teams("X", "M", "Y"), want: "MuuuMuuuM"},
		"nobody to update":                               {terms: teams("M"), updated: "uM", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			candidates := line(tc.candidates)
			all := append(line(tc.updated), candidates...)
			assert.Equal(t, strings.ReplaceAll(tc.want, " ", ""), letters(order.Scatter(candidates, all, tc.terms)))
		})
	}
}

// TestScatterLosesNobody tries random lines: it is always the same Pods, those that are alike keep their order, and one that carries the label comes last.
func TestScatterLosesNobody(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		text := ""
		for range random.IntN(15) {
			text += []string{"u", "u", "M"}[random.IntN(3)]
		}
		candidates := line(text)
		all := append(line(strings.Repeat("u", random.IntN(6))+strings.Repeat("M", random.IntN(6))), candidates...)
		matched, others := 0, 0
		for _, f := range candidates {
			if f.Pod.Labels["team"] == "M" {
				matched++
			} else {
				others++
			}
		}
		got := order.Scatter(candidates, all, teams("M"))
		require.ElementsMatch(t, candidates, got, text)
		if matched <= 1 || others <= 1 {
			require.Equal(t, candidates, got, text)
			continue
		}
		require.Equal(t, "M", letters(got)[len(got)-1:], text)
		for _, kind := range []string{"u", "M"} {
			require.Equal(t, only(candidates, kind), only(got, kind), text)
		}
	}
}

func only(all []*pods.Facts, letter string) []string {
	var found []string
	for _, name := range names(all) {
		if strings.HasPrefix(name, letter) {
			found = append(found, name)
		}
	}
	return found
}
