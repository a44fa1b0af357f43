// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The scenarios.
const (
	scaleOut   = "scale-out"
	inPlace    = "in-place"
	inPlace10  = "in-place-10%"
	flaky      = "in-place-flaky"
	recreate   = "recreate"
	scaleIn    = "scale-in"
	manySets   = "many-sets"
	manyUpdate = "many-sets-in-place"
	restart    = "restart"
	storm      = "storm"
	growth     = "growth"
	planning   = "plan"
)

// scenarios are all, in the order in which they are run.
func scenarios() []string {
	return []string{scaleOut, inPlace, inPlace10, flaky, recreate, scaleIn, restart, storm, manySets, manyUpdate, growth, planning}
}

// action is one measured thing that a subject does.
type action struct {
	scenario string
	pods     int
	do       func(ctx context.Context) error
	// until is what has to be seen; nil waits only until the subject writes no more.
	until *goal
}

// measure does something and adds what it cost.
func (b *bench) measure(ctx context.Context, s subject, a action) error {
	b.say("%s: %s", a.scenario, s.name())
	m, err := begin(ctx, b.log, s, b.process(s))
	if err != nil {
		return err
	}
	profiling := b.profile(ctx, s, a.scenario)
	f := figures{Scenario: a.scenario, Subject: s.name(), Round: b.round, Pods: a.pods}
	group, inside := errgroup.WithContext(ctx)
	group.Go(func() error { return a.do(inside) })
	if a.until != nil {
		if f.Way, err = b.witness.wait(inside, *a.until); err != nil {
			return fmt.Errorf("%s of %s: %w", a.scenario, s.name(), err)
		}
		f.Seconds = time.Since(m.begun).Seconds()
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s of %s: %w", a.scenario, s.name(), err)
	}
	profiling()
	if err := m.end(ctx, &f); err != nil {
		return err
	}
	b.results.Figures = append(b.results.Figures, f)
	b.say("  %s", f.line())
	return nil
}

// step is a part of a rollout.
type step struct {
	scenario, image string
	// pods are how many there are afterwards.
	pods int
	do   func(ctx context.Context, s subject) error
}

// rollout is what a set of Pods lives through; each step is made by all subjects, one right after the other.
func (b *bench) rollout(ctx context.Context) error {
	update := func(image, unavailable string) func(context.Context, subject) error {
		return func(ctx context.Context, s subject) error {
			return s.update(ctx, change{image: image, unavailable: unavailable, pods: b.pods})
		}
	}
	for _, next := range []step{
		{scaleOut, imageV1, b.pods, func(ctx context.Context, s subject) error { return s.create(ctx, 1, b.pods) }},
		{inPlace, imageV2, b.pods, update(imageV2, "100%")},
		{inPlace10, imageV3, b.pods, update(imageV3, "10%")},
		{flaky, imageFlaky, b.pods, update(imageFlaky, "20%")},
		{recreate, imageV2, b.pods, func(ctx context.Context, s subject) error {
			return s.recreate(ctx, change{image: imageV2, unavailable: "100%", pods: b.pods})
		}},
		{scaleIn, imageV2, 0, func(ctx context.Context, s subject) error { return s.scale(ctx, 0) }},
	} {
		if err := b.take(ctx, next); err != nil {
			return err
		}
	}
	return b.clear(ctx)
}

// take makes one step with all subjects that can.
func (b *bench) take(ctx context.Context, next step) error {
	inside := slices.Contains([]string{inPlace, inPlace10, flaky}, next.scenario)
	for _, s := range b.subjects {
		if !b.wants(next.scenario) || inside && !s.canUpdate() {
			continue
		}
		if err := b.measure(ctx, s, action{
			scenario: next.scenario,
			pods:     b.pods,
			do:       func(ctx context.Context) error { return next.do(ctx, s) },
			until:    &goal{subject: s.name(), pods: next.pods, image: next.image},
		}); err != nil {
			return err
		}
	}
	return nil
}

// clear takes all Pods away.
func (b *bench) clear(ctx context.Context) error {
	for _, s := range b.subjects {
		if err := s.remove(ctx); err != nil {
			return err
		}
		if _, err := b.witness.wait(ctx, goal{subject: s.name()}); err != nil {
			return err
		}
	}
	return nil
}

// converged makes one set of ours that has come to rest, and does something with it.
func (b *bench) converged(ctx context.Context, do func(context.Context, subject) error) error {
	s := b.subject("ours")
	if err := s.create(ctx, 1, b.pods); err != nil {
		return err
	}
	if _, err := b.witness.wait(ctx, goal{subject: s.name(), pods: b.pods, image: imageV1}); err != nil {
		return err
	}
	m, err := begin(ctx, b.log, s, b.process(s))
	if err != nil {
		return err
	}
	if err := m.end(ctx, &figures{}); err != nil {
		return err
	}
	if err := do(ctx, s); err != nil {
		return err
	}
	return b.clear(ctx)
}

// restarted measures what the controllers do when they start on a system that is as it should be.
func (b *bench) restarted(ctx context.Context) error {
	return b.converged(ctx, func(ctx context.Context, s subject) error {
		f := figures{Scenario: restart, Subject: s.name(), Round: b.round, Pods: b.pods, ledger: ledger{Writes: requests{}, Reads: requests{}, Refused: requests{}}}
		if err := b.log.skip(); err != nil {
			return err
		}
		begun := time.Now()
		if err := b.startControllers(ctx); err != nil {
			return err
		}
		for {
			// The first reconciliation after the start is of the only set.
			if g, err := readGauges(ctx); err == nil && g.reconciles > 0 {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for the controllers to work: %w", ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
		f.Seconds = time.Since(begun).Seconds()
		m := &meter{log: b.log, subject: s, process: b.process(s), ledger: f.ledger, depth: make(chan float64, 1), stop: func() {}}
		m.depth <- 0
		if err := m.end(ctx, &f); err != nil {
			return err
		}
		b.results.Figures = append(b.results.Figures, f)
		b.say("%s: ours\n  %s", restart, f.line())
		return nil
	})
}

// stormed measures what the controllers do when Pods change that are nobody's, or somebody else's.
func (b *bench) stormed(ctx context.Context) error {
	const strangers, changes = 20, 100
	return b.converged(ctx, func(ctx context.Context, s subject) error {
		pods := b.core.CoreV1().Pods(namespace)
		for i := range strangers {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("stranger-%d", i), Labels: map[string]string{"app": "stranger"}}, Spec: template("").Spec}
			pod.Spec.SchedulerName = "nobody"
			if i%2 == 0 {
				pod.OwnerReferences = []metav1.OwnerReference{b.stranger}
			}
			if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("creating a stranger: %w", err)
			}
		}
		err := b.measure(ctx, s, action{scenario: storm, pods: b.pods, do: func(ctx context.Context) error {
			var names []string
			for i := range strangers * changes {
				names = append(names, fmt.Sprintf("%d", i))
			}
			return each(ctx, names, func(ctx context.Context, n string) error {
				var i int
				if err := json.Unmarshal([]byte(n), &i); err != nil {
					return err
				}
				patch := fmt.Sprintf(`{"metadata":{"annotations":{"n":%q}},"status":{"message":%q}}`, n, n)
				_, err := pods.Patch(ctx, fmt.Sprintf("stranger-%d", i%strangers), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
				return err
			})
		}})
		if err != nil {
			return err
		}
		return pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=stranger"})
	})
}

// many makes half as many sets as there are Pods in the other scenarios, of ten Pods each, and changes the image of all at once.
func (b *bench) many(ctx context.Context) error {
	const each = 10
	sets := max(b.pods/2, 1)
	for _, s := range b.subjects {
		g := goal{subject: s.name(), pods: sets * each, image: imageV1}
		if b.wants(manySets) || b.wants(manyUpdate) && s.canUpdate() {
			do := func(ctx context.Context) error { return s.create(ctx, sets, each) }
			if err := b.measure(ctx, s, action{scenario: manySets, pods: g.pods, do: do, until: &g}); err != nil {
				return err
			}
		}
		if b.wants(manyUpdate) && s.canUpdate() {
			g.image = imageV2
			do := func(ctx context.Context) error {
				return s.update(ctx, change{image: imageV2, unavailable: "100%", pods: g.pods})
			}
			if err := b.measure(ctx, s, action{scenario: manyUpdate, pods: g.pods, do: do, until: &g}); err != nil {
				return err
			}
		}
		if err := b.clear(ctx); err != nil {
			return err
		}
	}
	return nil
}

// grown makes one set grow by doubling, to eight times the Pods of the other scenarios.
func (b *bench) grown(ctx context.Context) error {
	// What earlier scenarios left in memory is not this one's.
	if err := b.startControllers(ctx); err != nil {
		return err
	}
	s := b.subject("ours")
	for before, pods := 0, max(b.pods/2, 1); pods <= 8*b.pods; before, pods = pods, 2*pods {
		do := func(ctx context.Context) error { return s.scale(ctx, pods) }
		if before == 0 {
			do = func(ctx context.Context) error { return s.create(ctx, 1, pods) }
		}
		a := action{scenario: growth, pods: pods - before, do: do, until: &goal{subject: s.name(), pods: pods, image: imageV1}}
		if err := b.measure(ctx, s, a); err != nil {
			return err
		}
	}
	return b.clear(ctx)
}
