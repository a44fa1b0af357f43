// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCounts runs the shipped controllers on simulated nodes and asserts what does not depend on the speed of the machine: how often is written, and for nothing.
func TestCounts(t *testing.T) {
	b, err := newBench(t.Context(), options{pods: 200, rounds: 1, scenarios: []string{scaleOut, inPlace, inPlace10, scaleIn, restart, storm}}, t.Output())
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := clusterProgram(ctx, "down")
		assert.NoError(t, err)
	})
	b.subjects = []subject{b.subject("ours")}
	require.NoError(t, b.all(t.Context()))

	for scenario, want := range map[string]float64{scaleOut: 2, inPlace: 3, inPlace10: 3, scaleIn: 1} {
		t.Run(scenario, func(t *testing.T) {
			f := b.results.of(scenario, "ours")[0]
			onPods, others := 0, 0
			for request, n := range f.Writes {
				if _, what, _ := strings.Cut(request, " "); what == "pods" || strings.HasPrefix(what, "pods/") {
					onPods += n
				} else {
					others += n
				}
			}
			assert.LessOrEqual(t, float64(onPods)/float64(f.Pods), want+0.05, "writes to each Pod: %v", f.Writes)
			// Ten events for each reason, the revision, a status for each second and each change of a condition.
			assert.LessOrEqual(t, float64(others), 30+f.Seconds, "writes beside those: %v", f.Writes)
		})
	}
	t.Run("a restart of the controllers writes nothing", func(t *testing.T) {
		assert.Empty(t, b.results.of(restart, "ours")[0].Writes)
	})
	t.Run("the Pods of others wake nobody", func(t *testing.T) {
		f := b.results.of(storm, "ours")[0]
		assert.Zero(t, f.Reconciles)
		assert.Empty(t, f.Writes)
	})
}

func TestExponent(t *testing.T) {
	steps := func(cpu ...float64) (all []figures) {
		for i, seconds := range cpu {
			all = append(all, figures{CPUSeconds: seconds, Way: []point{{Pods: 500 << i}}})
		}
		return all
	}
	for name, tc := range map[string]struct {
		steps []figures
		want  float64
		found bool
	}{
		"one step has no exponent":                           {steps: steps(1)},
		"twice the time for twice the Pods is in proportion": {steps: steps(1, 1, 2, 4), want: 1, found: true},
		"four times the time for twice the Pods is a square": {steps: steps(1, 3, 12, 48), want: 2, found: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := exponent(tc.steps)
			assert.Equal(t, tc.found, found)
			assert.InDelta(t, tc.want, got, 1e-9)
		})
	}
}

func TestARatioIsTakenRoundByRound(t *testing.T) {
	r := results{}
	for round, seconds := range [][2]float64{{10, 5}, {20, 20}, {8, 2}} {
		r.Figures = append(r.Figures,
			figures{Scenario: scaleOut, Subject: "ours", Round: round, Pods: 100, Seconds: seconds[0]},
			figures{Scenario: scaleOut, Subject: "raw", Round: round, Pods: 100, Seconds: seconds[1]})
	}
	got, found := r.ratio(scaleOut, "ours", "raw", figures.rate)
	assert.True(t, found)
	assert.InDelta(t, 0.5, got, 1e-9, "the median of 0.5, 1 and 0.25")
}

func TestMarkdown(t *testing.T) {
	assert.Equal(t, "| bar | asked |\n|---|---|\n| writes | 2 |\n", markdown("bar   |asked |\nwrites|2     |\n"))
}
