// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/controllers/plan"
)

// Write is one write of the controllers that the world accepted.
type Write struct {
	Action plan.Action
	// Before and After are all Pods around the write.
	Before, After []*corev1.Pod
	// Old and New are the Pod that was written to; one is nil when it was created or is gone, both when it was no Pod.
	Old, New *corev1.Pod
}

// errKilled ends a pass: the program that performed it is no more.
var errKilled = errors.New("the controllers were killed")

// Perform carries out a decision as the hands do: by ascending Step; within a Step changes before creations, which go in batches of 1, 2, 4, ...;
// a failure defers the later steps. The error says that the controllers were killed on the way.
func (w *World) Perform(d plan.Decision) (plan.Outcome, error) {
	var outcome plan.Outcome
	for _, step := range bySteps(d.Actions) {
		if len(outcome.Failures) > 0 {
			outcome.Deferred = append(outcome.Deferred, step...)
			continue
		}
		if err := w.performStep(step, &outcome); err != nil {
			return plan.Outcome{}, err
		}
	}
	return outcome, nil
}

func bySteps(actions []plan.Action) [][]plan.Action {
	sorted := slices.Clone(actions)
	slices.SortStableFunc(sorted, func(a, b plan.Action) int { return cmp.Compare(a.Step, b.Step) })
	var out [][]plan.Action
	for i, a := range sorted {
		if i == 0 || a.Step != sorted[i-1].Step {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], a)
	}
	return out
}

func (w *World) performStep(step []plan.Action, outcome *plan.Outcome) error {
	var creations, others []plan.Action
	for _, a := range step {
		if a.Verb == plan.Create {
			creations = append(creations, a)
		} else {
			others = append(others, a)
		}
	}
	if _, err := w.performBatch(others, outcome); err != nil {
		return err
	}
	isRefused := false
	for size := 1; len(creations) > 0; size *= 2 {
		n := min(size, len(creations))
		batch := creations[:n]
		creations = creations[n:]
		if isRefused {
			outcome.Deferred = append(outcome.Deferred, batch...)
			continue
		}
		failed, err := w.performBatch(batch, outcome)
		if err != nil {
			return err
		}
		isRefused = failed > 0
	}
	return nil
}

// performBatch performs concurrent actions in any order and returns how many failed.
func (w *World) performBatch(batch []plan.Action, outcome *plan.Outcome) (int, error) {
	failed := 0
	for _, a := range w.shuffled(batch) {
		err := w.perform(a)
		switch {
		case errors.Is(err, errKilled):
			w.tell("controllers", "are killed before they %s %s", a.Verb, w.Shorten(a.Object.GetName()))
			return failed, err
		case err == nil:
			outcome.Done = append(outcome.Done, a)
		case isOvertaken(a, err):
			w.tell("controllers", "are overtaken as they %s %s: %s", a.Verb, w.Shorten(a.Object.GetName()), w.Shorten(err.Error()))
			outcome.Deferred = append(outcome.Deferred, a)
		default:
			failed++
			w.tell("controllers", "fail to %s %s: %s", a.Verb, w.Shorten(a.Object.GetName()), w.Shorten(err.Error()))
			outcome.Failures = append(outcome.Failures, plan.Failure{Action: a, Err: err})
		}
	}
	return failed, nil
}

func (w *World) perform(a plan.Action) error {
	switch a.Verb {
	case plan.Create:
		return w.attempt(a, func() error { return w.create(a) })
	case plan.Delete:
		return w.attempt(a, func() error { return w.delete(a) })
	case plan.Patch:
		version := a.Object.GetResourceVersion()
		for _, change := range a.Changes {
			err := w.attempt(a, func() (err error) {
				version, err = w.patch(a, change, version)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("performing %q on %s: no such verb", a.Verb, a.Object.GetName())
	}
}

// attempt makes one write, unless a fault strikes.
func (w *World) attempt(a plan.Action, write func() error) error {
	switch fault := w.strike(); fault {
	case Kill:
		return errKilled
	case LostAnswer:
		if err := write(); err != nil {
			return err
		}
		return errLostAnswer
	default:
		if err := errorFor(fault, a.Object); err != nil {
			return err
		}
		return write()
	}
}
