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
	// Claim is the volume claim that was written to, as it was before, or as it was created; nil when it was none.
	Claim *corev1.PersistentVolumeClaim
}

// errKilled ends a pass: the program that performed it is no more.
var errKilled = errors.New("the controllers were killed")

// Perform carries out a decision as the hands do: by ascending Step; within a Step creations go in batches of 1, 2, 4, ...; a failure defers the later steps.
// The hands make changes and creations of one Step side by side; here the changes come first. The error says that the controllers were killed on the way.
func (w *World) Perform(d plan.Decision) (plan.Outcome, error) {
	var outcome plan.Outcome
	for _, step := range bySteps(d.Actions) {
		if len(outcome.Failures) > 0 {
			outcome.DeferNotBegun("an earlier step has failed", step...)
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
			outcome.DeferNotBegun("another creation has just failed", batch...)
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

// performBatch performs concurrent actions in any order, each with what comes first and then, and returns how many of these failed.
func (w *World) performBatch(batch []plan.Action, outcome *plan.Outcome) (int, error) {
	failed := 0
	for _, a := range w.shuffled(batch) {
		before := len(outcome.Failures)
		if err := w.performWhole(a, outcome); err != nil {
			return failed, err
		}
		if len(outcome.Failures) > before {
			failed++
		}
	}
	return failed, nil
}

const whatComesFirst = "what comes first did not succeed"

// performWhole performs an action: what comes first until something fails, the action itself, and all that comes then. The error says that the
// controllers were killed on the way.
func (w *World) performWhole(a plan.Action, outcome *plan.Outcome) error {
	for i, first := range a.First {
		switch isDone, err := w.performNoted(first, outcome); {
		case err != nil:
			return err
		case !isDone:
			outcome.DeferNotBegun(whatComesFirst, append(slices.Clone(a.First[i+1:]), a)...)
			return nil
		}
	}
	isDone, err := w.performNoted(a, outcome)
	if err != nil || !isDone {
		outcome.DeferNotBegun(whatComesFirst, a.Then...)
		return err
	}
	for _, then := range a.Then {
		if _, err := w.performNoted(then, outcome); err != nil {
			return err
		}
	}
	return nil
}

// performNoted performs one action, notes what became of it, and says whether it is done.
func (w *World) performNoted(a plan.Action, outcome *plan.Outcome) (bool, error) {
	name, err := w.Shorten(a.Object.GetName()), w.perform(a)
	reason := deferralOf(a, err)
	switch {
	case errors.Is(err, errKilled):
		w.tell("controllers", "are killed before they %s %s", a.Verb, name)
		w.useClaimed()
		return false, err
	case isThere(a, err):
		return true, nil
	case err == nil:
		outcome.Done = append(outcome.Done, a)
		return true, nil
	case reason != "":
		w.tell("controllers", "are overtaken as they %s %s: %s", a.Verb, name, w.Shorten(err.Error()))
		outcome.Deferred = append(outcome.Deferred, plan.Deferral{Action: a, Reason: reason, Message: err.Error()})
	default:
		w.tell("controllers", "fail to %s %s: %s", a.Verb, name, w.Shorten(err.Error()))
		failure := plan.Failure{Action: a, Err: err}
		if refused := (*refusedResize)(nil); errors.As(err, &refused) {
			failure.Subresource = "resize"
		}
		outcome.Failures = append(outcome.Failures, failure)
	}
	return false, nil
}

func (w *World) perform(a plan.Action) error {
	switch a.Verb {
	case plan.Create:
		err := w.attempt(a, func() error { return w.create(a) })
		if err == nil {
			w.wrote(a.Object, "")
		}
		// A creation without an answer is asked for again by the same name.
		if !errors.Is(err, errLostAnswer) {
			err = w.doubting(a, err)
		}
		return err
	case plan.Delete:
		return w.forgetting(a, func() error { return w.attempt(a, func() error { return w.delete(a) }) })
	case plan.Patch:
		version := a.Object.GetResourceVersion()
		for _, change := range a.Changes {
			err := w.attempt(a, func() (err error) {
				version, err = w.patch(a, change, version)
				return err
			})
			if err != nil {
				return w.doubting(a, err)
			}
			w.wrote(a.Object, version)
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
