// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// figures are what one scenario cost one subject.
type figures struct {
	Scenario string `json:"scenario"`
	Subject  string `json:"subject"`
	Round    int    `json:"round"`
	// Pods is how many were created, changed or deleted; a scenario without such has how many there were.
	Pods    int     `json:"pods"`
	Seconds float64 `json:"seconds"`
	ledger
	CPUSeconds       float64 `json:"cpuSeconds,omitempty"`
	MemoryMiB        float64 `json:"memoryMiB,omitempty"`
	PeakMemoryMiB    float64 `json:"peakMemoryMiB,omitempty"`
	Allocations      float64 `json:"allocations,omitempty"`
	AllocatedMiB     float64 `json:"allocatedMiB,omitempty"`
	Reconciles       float64 `json:"reconciles,omitempty"`
	ReconcileSeconds float64 `json:"reconcileSeconds,omitempty"`
	QueueDepth       float64 `json:"queueDepth,omitempty"`
	QueueSeconds     float64 `json:"queueSeconds,omitempty"`
	// Way is how many Pods had got there after some seconds.
	Way []point `json:"way,omitempty"`
}

// rate is how many Pods a second were done.
func (f figures) rate() float64 { return float64(f.Pods) / f.Seconds }

// writesPerPod is how often the subject wrote for each Pod.
func (f figures) writesPerPod() float64 { return float64(f.Writes.total()) / float64(f.Pods) }

// results are all figures of one run.
type results struct {
	Machine string    `json:"machine"`
	Figures []figures `json:"figures"`
	Kernels []kernel  `json:"kernels,omitempty"`
}

// of returns the figures of a scenario and a subject, round by round.
func (r results) of(scenario, subject string) []figures {
	var found []figures
	for _, f := range r.Figures {
		if f.Scenario == scenario && f.Subject == subject {
			found = append(found, f)
		}
	}
	return found
}

// median is the middle of a value over the rounds of a scenario; it is false when the scenario was not run.
func (r results) median(scenario, subject string, value func(figures) float64) (float64, bool) {
	var values []float64
	for _, f := range r.of(scenario, subject) {
		values = append(values, value(f))
	}
	return median(values)
}

func median(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle], true
	}
	return (values[middle-1] + values[middle]) / 2, true
}

// ratio is the median, over the rounds, of a value of one subject divided by that of another in the same round, so that what the machine does
// meanwhile cancels out.
func (r results) ratio(scenario, subject, other string, value func(figures) float64) (float64, bool) {
	var values []float64
	for _, mine := range r.of(scenario, subject) {
		for _, theirs := range r.of(scenario, other) {
			if mine.Round == theirs.Round {
				values = append(values, value(mine)/value(theirs))
			}
		}
	}
	return median(values)
}

// exponent is by which power the processor time grows with the Pods: 1 is in proportion, 2 is four times for twice the Pods. It is the slope of the straight
// line through the logarithms of the Pods and of all processor time up to there.
func exponent(steps []figures) (float64, bool) {
	if len(steps) < 2 {
		return 0, false
	}
	steps = slices.Clone(steps)
	slices.SortFunc(steps, func(a, b figures) int { return cmp.Compare(reached(a), reached(b)) })
	var sumX, sumY, sumXX, sumXY, used float64
	for _, f := range steps {
		used += f.CPUSeconds
		x, y := math.Log(float64(reached(f))), math.Log(used)
		sumX, sumY, sumXX, sumXY = sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	n := float64(len(steps))
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX), true
}

// reached is how many Pods there were at the end of a step of growth.
func reached(f figures) int {
	if len(f.Way) == 0 {
		return f.Pods
	}
	return f.Way[len(f.Way)-1].Pods
}

// save writes the results, for others to read.
func (r results) save(dir string) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("saving the results: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "results.json"), append(raw, '\n'), 0o600)
}
