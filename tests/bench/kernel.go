// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"golang.org/x/perf/benchfmt"
)

// kernel is what one plan takes, as the Go benchmark of that name has measured it.
type kernel struct {
	Name         string  `json:"name"`
	Milliseconds float64 `json:"milliseconds"`
	// Allocations are those for each Pod.
	Allocations float64 `json:"allocations"`
}

// planned runs the benchmarks of the plan; no cluster has a part in them.
func (b *bench) planned(ctx context.Context) error {
	b.say("%s: for 10,000 Pods", planning)
	out, err := command(ctx, nil, "go", "test", "-run=^$", "-bench=^BenchmarkPlan$", "-benchmem", "-count=3", "./controllers/cloneset")
	if err != nil {
		return err
	}
	best := map[string]int{}
	for r := benchfmt.NewReader(bytes.NewReader(out), "go test"); r.Scan(); {
		if err := b.results.addKernel(r.Result(), best); err != nil {
			return err
		}
	}
	return nil
}

// addKernel adds the result of one benchmark. Of several runs the fastest counts: what else the machine did made the others slower.
func (r *results) addKernel(record benchfmt.Record, best map[string]int) error {
	switch record := record.(type) {
	case *benchfmt.SyntaxError:
		return fmt.Errorf("reading the benchmarks of the plan: %w", record)
	case *benchfmt.Result:
		seconds, _ := record.Value("sec/op")
		allocations, _ := record.Value("allocs/op")
		pods, found := record.Value("Pods/op")
		if !found {
			return nil
		}
		_, name, _ := strings.Cut(record.Name.String(), "/")
		name, _, _ = strings.Cut(strings.ReplaceAll(name, "_", " "), "-")
		k := kernel{Name: name, Milliseconds: 1000 * seconds, Allocations: allocations / pods}
		if i, known := best[name]; !known {
			best[name] = len(r.Kernels)
			r.Kernels = append(r.Kernels, k)
		} else if k.Milliseconds < r.Kernels[i].Milliseconds {
			r.Kernels[i] = k
		}
	}
	return nil
}

// worst is the highest value of all plans.
func (r results) worst(value func(kernel) float64) (float64, bool) {
	highest := 0.0
	for _, k := range r.Kernels {
		highest = max(highest, value(k))
	}
	return highest, len(r.Kernels) > 0
}

// planTable shows what each plan takes.
func (r results) planTable() string {
	if len(r.Kernels) == 0 {
		return ""
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "a plan for 10,000 Pods\tms\tallocations/Pod\t")
	for _, k := range r.Kernels {
		fmt.Fprintf(w, "%s\t%.1f\t%.2f\t\n", k.Name, k.Milliseconds, k.Allocations)
	}
	if err := w.Flush(); err != nil {
		return err.Error()
	}
	return "\n" + text.String()
}
