// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// machine says on what was measured.
func machine() string { return fmt.Sprintf("%d cores, %s", runtime.NumCPU(), runtime.Version()) }

// line is the figures in one line, as they come in.
func (f figures) line() string {
	text := fmt.Sprintf("%d Pods in %.1f s, %d writes (%d refused), %d reads, %.2f s of processor", f.Pods, f.Seconds, f.Writes.total(), f.Refused.total(), f.Reads.total(), f.CPUSeconds)
	if f.Reconciles > 0 {
		text += fmt.Sprintf(", %.0f reconciles of %.1f ms, queue at most %.0f", f.Reconciles, 1000*f.ReconcileSeconds, f.QueueDepth)
	}
	return text
}

// table shows the medians of all scenarios and subjects.
func (r results) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', tabwriter.AlignRight|tabwriter.Debug)
	fmt.Fprintln(w, "scenario\tsubject\tPods\tseconds\tPods/s\twrites/Pod\treads\tcpu s\tpeak MiB\tallocations/Pod\treconciles\tqueue: most\tqueue: ms\t")
	for _, scenario := range scenarios() {
		if scenario == growth || scenario == planning {
			continue
		}
		for _, subject := range []string{"raw", "native", "ours"} {
			if r.of(scenario, subject) != nil {
				fmt.Fprintln(w, r.row(scenario, subject))
			}
		}
	}
	for _, f := range r.of(growth, "ours") {
		step := results{Figures: []figures{f}}
		fmt.Fprintln(w, strings.Replace(step.row(growth, "ours"), growth, fmt.Sprintf("%s to %d", growth, reached(f)), 1))
	}
	if err := w.Flush(); err != nil {
		return err.Error()
	}
	return text.String() + r.planTable()
}

func (r results) row(scenario, subject string) string {
	value := func(format string, of func(figures) float64) string {
		v, found := r.median(scenario, subject, of)
		if !found || v == 0 {
			return ""
		}
		return fmt.Sprintf(format, v)
	}
	perPod := func(of func(figures) float64) func(figures) float64 {
		return func(f figures) float64 { return of(f) / float64(f.Pods) }
	}
	columns := []string{
		scenario, subject,
		value("%.0f", func(f figures) float64 { return float64(f.Pods) }),
		value("%.1f", func(f figures) float64 { return f.Seconds }),
		"", fmt.Sprintf("%.3f", first(r.median(scenario, subject, figures.writesPerPod))),
		value("%.0f", func(f figures) float64 { return float64(f.Reads.total()) }),
		value("%.1f", func(f figures) float64 { return f.CPUSeconds }),
		value("%.0f", func(f figures) float64 { return f.PeakMemoryMiB }),
		value("%.0f", perPod(func(f figures) float64 { return f.Allocations })),
		value("%.0f", func(f figures) float64 { return f.Reconciles }),
		value("%.0f", func(f figures) float64 { return f.QueueDepth }),
		value("%.1f", func(f figures) float64 { return 1000 * f.QueueSeconds }),
	}
	if seconds := first(r.median(scenario, subject, func(f figures) float64 { return f.Seconds })); seconds > 0 && scenario != restart {
		columns[4] = value("%.1f", figures.rate)
	}
	return strings.Join(columns, "\t") + "\t"
}

func first(value float64, _ bool) float64 { return value }

// bar is one figure that Keelson is held to.
type bar struct {
	what string
	// atMost says that the figure must not be more than the limit; else it must not be less.
	atMost bool
	limit  float64
	unit   string
	figure func(r results) (float64, bool)
}

// bars are what issue and cost model ask for.
func bars() []bar {
	writes := func(scenario string) func(results) (float64, bool) {
		return func(r results) (float64, bool) { return r.median(scenario, "ours", figures.writesPerPod) }
	}
	rate := func(scenario, other string) func(results) (float64, bool) {
		return func(r results) (float64, bool) { return r.ratio(scenario, "ours", other, figures.rate) }
	}
	return []bar{
		{"writes per Pod, scale out", true, 2.05, "", writes(scaleOut)},
		{"writes per Pod, in place", true, 3.05, "", writes(inPlace)},
		{"writes per Pod, in place, 10 % at a time", true, 3.05, "", writes(inPlace10)},
		{"writes per Pod, scale in", true, 1.05, "", writes(scaleIn)},
		{"rate against raw, scale out", false, 0.80, "x", rate(scaleOut, "raw")},
		{"rate against raw, in place", false, 0.80, "x", rate(inPlace, "raw")},
		{"rate against raw, scale in", false, 0.80, "x", rate(scaleIn, "raw")},
		{"rate against native, scale out", false, 1, "x", rate(scaleOut, "native")},
		{"processor time against native, scale out", true, 1, "x", func(r results) (float64, bool) {
			return r.ratio(scaleOut, "ours", "native", func(f figures) float64 { return f.CPUSeconds })
		}},
		{"writes after a restart", true, 0, "", func(r results) (float64, bool) {
			return r.median(restart, "ours", func(f figures) float64 { return float64(f.Writes.total()) })
		}},
		{"reconciles by events of other Pods", true, 0, "", func(r results) (float64, bool) {
			return r.median(storm, "ours", func(f figures) float64 { return f.Reconciles })
		}},
		{"exponent of processor time against Pods", true, 1.1, "", func(r results) (float64, bool) { return exponent(r.of(growth, "ours")) }},
		{"peak memory at 8 times the Pods", true, 200, "MiB", func(r results) (float64, bool) { return last(r, func(f figures) float64 { return f.PeakMemoryMiB }) }},
		{"memory for one more Pod", true, 15, "KiB", perMorePod},
		{"a plan for 10,000 Pods", true, 10, "ms", func(r results) (float64, bool) { return r.worst(func(k kernel) float64 { return k.Milliseconds }) }},
		{"allocations of a plan for each Pod", true, 2, "", func(r results) (float64, bool) { return r.worst(func(k kernel) float64 { return k.Allocations }) }},
	}
}

// last is a value of the last step of growth.
func last(r results, value func(figures) float64) (float64, bool) {
	steps := r.of(growth, "ours")
	if len(steps) == 0 {
		return 0, false
	}
	return value(steps[len(steps)-1]), true
}

// perMorePod is by how many KiB the memory grew from the first to the last step of growth, for each Pod more.
func perMorePod(r results) (float64, bool) {
	steps := r.of(growth, "ours")
	if len(steps) < 2 {
		return 0, false
	}
	from, to := steps[0], steps[len(steps)-1]
	return 1024 * (to.MemoryMiB - from.MemoryMiB) / float64(reached(to)-reached(from)), true
}

// barTable shows each bar beside its figure.
func (r results) barTable() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "bar\tasked\tseen\t\t")
	for _, b := range bars() {
		seen, found := b.figure(r)
		if !found {
			continue
		}
		sign, verdict := ">=", "missed"
		if b.atMost {
			sign = "<="
		}
		if b.atMost && seen <= b.limit || !b.atMost && seen >= b.limit {
			verdict = "held"
		}
		fmt.Fprintf(w, "%s\t%s %.4g %s\t%.4g %s\t%s\t\n", b.what, sign, b.limit, b.unit, seen, b.unit, verdict)
	}
	if err := w.Flush(); err != nil {
		return err.Error()
	}
	return text.String()
}

// document renews the part of a page between two comments.
func (r results) document(page string) error {
	const begin, end = "<!-- bench: begin -->", "<!-- bench: end -->"
	raw, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("renewing the page: %w", err)
	}
	before, rest, found := strings.Cut(string(raw), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("renewing %s: it has no %s and %s", page, begin, end)
	}
	text := before + begin + "\n\nMeasured on " + r.Machine + ".\n\n" + markdown(r.barTable()) + "\n" + markdown(r.table()) + "\n" + end + after
	return os.WriteFile(page, []byte(text), 0o600)
}

// markdown turns a table of tabwriter into one of Markdown.
func markdown(table string) string {
	lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
	for i, line := range lines {
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		lines[i] = "| " + strings.Join(cells, " | ") + " |"
	}
	rule := strings.Repeat("|---", strings.Count(lines[0], "|")-1) + "|"
	return strings.Join(slices.Insert(lines, 1, rule), "\n") + "\n"
}
