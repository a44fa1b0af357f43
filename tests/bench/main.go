// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures how fast Keelson is, and what it costs, on a real control plane with simulated nodes. In one run and on one cluster it compares three
// subjects, so that the noise of the machine cancels out: a bare client that makes the fewest writes, Kubernetes' own Deployments, and CloneSets.
//
//	audit log ──► writes and reads of each subject     /proc ──► processor time, memory
//	watch ──────► how many Pods are where they should  metrics ──► reconciles, queue, allocations
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// options are what the bench is asked for.
type options struct {
	pods, rounds int
	// scenarios to run; none means all.
	scenarios []string
	// out is the folder for results.json and the charts; docs is a page whose table and charts are renewed.
	out, docs string
	// profiles is the folder for profiles of the controllers; empty means that none are taken.
	profiles string
}

func parse(args []string, out io.Writer) (options, error) {
	o := options{}
	var list string
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(out)
	set.IntVar(&o.pods, "pods", 1000, "how many Pods one set has")
	set.IntVar(&o.rounds, "rounds", 3, "how often what is compared is repeated; medians count")
	set.StringVar(&list, "scenario", "", "scenarios to run, separated by commas: "+strings.Join(scenarios(), ", ")+"; empty means all")
	set.StringVar(&o.out, "out", "", "folder for results.json and charts; empty means none")
	set.StringVar(&o.docs, "docs", "", "page whose table is renewed; empty means none")
	set.StringVar(&o.profiles, "profiles", "", "folder for profiles of the controllers; empty means none")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if o.pods < 10 || o.pods > 20000 {
		return o, fmt.Errorf("--pods=%d: it must be 10 to 20000", o.pods)
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("--rounds=%d: it must be 1 or more", o.rounds)
	}
	if list != "" {
		o.scenarios = strings.Split(list, ",")
	}
	for _, s := range o.scenarios {
		if !slices.Contains(scenarios(), s) {
			return o, fmt.Errorf("--scenario=%s: it must be one of %s", s, strings.Join(scenarios(), ", "))
		}
	}
	return o, nil
}

// run brings the cluster up, measures, and tells.
func run(ctx context.Context, o options, out io.Writer) error {
	b, err := newBench(ctx, o, os.Stderr)
	if err != nil {
		return err
	}
	if err := b.all(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, b.results.table())
	fmt.Fprintln(out, b.results.barTable())
	if o.out == "" {
		return nil
	}
	if err := b.results.save(o.out); err != nil {
		return err
	}
	if err := b.results.draw(o.out); err != nil {
		return err
	}
	if o.docs == "" {
		return nil
	}
	return b.results.document(o.docs)
}

// all runs what was asked for.
func (b *bench) all(ctx context.Context) error {
	if b.wants(scaleOut, inPlace, inPlace10, flaky, recreate, scaleIn) {
		for b.round = range b.rounds {
			if err := b.rollout(ctx); err != nil {
				return err
			}
		}
		b.round = 0
	}
	for _, step := range []struct {
		do        func(context.Context) error
		scenarios []string
	}{
		{b.restarted, []string{restart}}, {b.stormed, []string{storm}}, {b.many, []string{manySets, manyUpdate}}, {b.grown, []string{growth}}, {b.planned, []string{planning}},
	} {
		if !b.wants(step.scenarios...) {
			continue
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wants says that any of the scenarios was asked for. Every rollout begins with scaling out.
func (b *bench) wants(scenarios ...string) bool {
	if len(b.scenarios) == 0 || len(scenarios) == 1 && scenarios[0] == scaleOut {
		return true
	}
	return slices.ContainsFunc(scenarios, func(s string) bool { return slices.Contains(b.scenarios, s) })
}

// clusterProgram runs the program that makes the cluster, and returns what it printed.
func clusterProgram(ctx context.Context, args ...string) ([]byte, error) {
	return command(ctx, nil, "go", append([]string{"run", "-C", "tests/cluster", "."}, args...)...)
}

// command runs a program in the checkout, for the cluster that speed is measured on.
func command(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the checkout: %w", err)
	}
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Dir(string(module))
	cmd.Env = append(os.Environ(), "CLUSTER=bench", "KEELSON_KUBECONFIG=")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, complaint.String())
	}
	return out.Bytes(), nil
}

// startControllers ends the controllers and starts them again.
func (b *bench) startControllers(ctx context.Context) error {
	if _, err := clusterProgram(ctx, "rerun", "controllers"); err != nil {
		return err
	}
	if err := b.readProcesses(ctx); err != nil {
		return err
	}
	for {
		if _, err := readGauges(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the controllers to start: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (b *bench) readProcesses(ctx context.Context) error {
	raw, err := clusterProgram(ctx, "processes")
	if err != nil {
		return err
	}
	b.processes = map[string]int{}
	return json.Unmarshal(raw, &b.processes)
}
