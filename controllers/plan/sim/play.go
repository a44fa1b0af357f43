// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/keelson/keelson/controllers/plan"
)

// Controller is the kind under test.
type Controller interface {
	// Plan looks at the world and decides. It must not change anything.
	Plan(w *World) plan.Decision
	// Report stores the status after a decision was carried out, and says whether it is another than before.
	Report(w *World, d plan.Decision, o plan.Outcome) bool
	// Promise is what the workload's spec promises now, worked out apart from the code under test.
	Promise(w *World) Promise
	// Counts is one line of numbers for the script.
	Counts(w *World) string
}

// Claimer is a Controller that adopts and releases Pods before it plans.
type Claimer interface {
	Claim(w *World)
}

// Breach is a broken invariant.
type Breach struct {
	// Invariant is its name.
	Invariant string
	// Problem says what happened.
	Problem string
}

func (b Breach) String() string { return b.Invariant + ": " + b.Problem }

// Play is a world with controllers at work in it, watched by the invariants.
type Play struct {
	*World
	Controller Controller
	// Allowed are the names of invariants that a story declares to break.
	Allowed []string
	// IsWoken says whether an event wakes the controllers now; nil wakes them at will. What a decision asked for, and the retry of a pass that failed, come on top.
	IsWoken func() bool

	breaches []Breach
	counts   string
	// wakeAt is when the last decision asked to be made again; zero when it did not. isUnfinished says that the last pass is to be made again in any case.
	wakeAt       time.Time
	isUnfinished bool
}

// NewPlay puts controllers into a world.
func NewPlay(w *World, c Controller) *Play { return &Play{World: w, Controller: c} }

// Breaches are the invariants that were broken so far and that no story declared.
func (p *Play) Breaches() []Breach { return p.breaches }

func (p *Play) breach(invariant, problem string) {
	if problem == "" || slices.Contains(p.Allowed, invariant) {
		return
	}
	p.breaches = append(p.breaches, Breach{Invariant: invariant, Problem: p.Shorten(problem)})
	p.tell("!!", "%s: %s", invariant, p.Shorten(problem))
}

// Pass is what one pass of the controllers came to.
type Pass struct {
	Decision plan.Decision
	Outcome  plan.Outcome
	// Reported says that the status changed.
	Reported bool
	// Killed says that the controllers died on the way.
	Killed bool
	// Unreported says that the status was refused.
	Unreported bool
}

// IsIdle says that nothing was wanted and nothing changed.
func (p Pass) IsIdle() bool {
	return !p.Killed && !p.Reported && !p.Unreported && len(p.Decision.Actions) == 0
}

// isVain says that all that was wanted failed, and nothing changed. Such a pass is made again and again while the others go on.
func (p Pass) isVain() bool {
	return !p.Killed && !p.Reported && !p.Unreported && len(p.Outcome.Failures) > 0 && len(p.Outcome.Done)+len(p.Outcome.Deferred) == 0
}

// Reconcile lets the controllers plan, act and report once.
func (p *Play) Reconcile() Pass {
	if claimer, isClaimer := p.Controller.(Claimer); isClaimer {
		claimer.Claim(p.World)
	}
	pass := Pass{Decision: p.Controller.Plan(p.World)}
	if again := p.Controller.Plan(p.World); !reflect.DeepEqual(pass.Decision, again) {
		p.breach(PlanIsPure, fmt.Sprintf("first %s, then %s", outline(pass.Decision), outline(again)))
	}
	p.breach(OneActionPerPod, checkOneActionPerPod(pass.Decision))
	promise := p.Controller.Promise(p.World)
	p.watch = func(write Write) { p.check(promise, write) }
	for _, e := range pass.Decision.Events {
		p.tell("controllers", "say %s: %s", e.Reason, p.Shorten(e.Message))
	}
	var err error
	pass.Outcome, err = p.Perform(pass.Decision)
	p.watch = nil
	p.wakeAt = time.Time{}
	switch {
	case err != nil:
		pass.Killed = true
	case p.losesStatus():
		pass.Unreported = true
	default:
		pass.Reported = p.Controller.Report(p.World, pass.Decision, pass.Outcome)
		if after := pass.Decision.Wake.After; after > 0 {
			p.wakeAt = p.Now.Add(after)
		}
	}
	p.isUnfinished = pass.Killed || pass.Unreported || len(pass.Outcome.Failures)+len(pass.Outcome.Deferred) > 0
	p.tellCounts()
	return pass
}

// IsDue reports whether something wakes the controllers now.
func (p *Play) IsDue() bool {
	return p.IsWoken == nil || p.IsWoken() || p.isUnfinished || !p.wakeAt.IsZero() && !p.wakeAt.After(p.Now)
}

func (p *Play) tellCounts() {
	if counts := p.Shorten(p.Controller.Counts(p.World)); counts != p.counts {
		p.counts = counts
		p.tell("", "%s", counts)
	}
}

// check shows a write to all invariants.
func (p *Play) check(promise Promise, write Write) {
	for _, invariant := range Invariants() {
		p.breach(invariant.Name, invariant.Check(p.World, promise, write))
	}
}

// Settle lets everybody do what they can, controllers first, one thing at a time, until nothing is left to do; the clock moves when all wait for
// it. It says whether that came about within so many turns.
func (p *Play) Settle(turns int) bool {
	var pass Pass
	for range turns {
		isBusy, isVain := false, false
		if p.IsDue() {
			pass = p.Reconcile()
			isVain = pass.isVain()
			isBusy = !pass.IsIdle() && !isVain
		}
		if !isBusy && !p.moveOn() && (!isVain || p.IsWoken == nil) {
			p.checkRest(p.lastPass(pass))
			return true
		}
	}
	p.breach(NoLivelock, fmt.Sprintf("still not at rest after %d turns", turns))
	return false
}

// moveOn lets one of the others do something, or the time pass until the controllers want to be woken, and reports whether there was anything.
func (p *Play) moveOn() bool {
	if steps := p.Steps(); len(steps) > 0 {
		p.TakeStep(steps[0])
		return true
	}
	if p.wakeAt.After(p.Now) {
		p.Pause(p.wakeAt.Sub(p.Now))
		return true
	}
	return false
}

// lastPass is the pass by which a world at rest is judged: where only events wake the controllers, one more that nothing woke, long after, and that must find nothing
// to do.
func (p *Play) lastPass(pass Pass) Pass {
	if p.IsWoken == nil {
		return pass
	}
	p.Pause(time.Hour)
	pass = p.Reconcile()
	if !pass.IsIdle() {
		p.breach(NoLostWake, "nothing wakes the controllers, and they want "+outline(pass.Decision))
	}
	return pass
}

// Pause lets the time pass and writes it down.
func (p *Play) Pause(d time.Duration) {
	p.Wait(d)
	p.tell("clock", "%s pass", d)
}

// checkRest checks that a world in which nothing is left to do leaves the controllers nothing to say either.
func (p *Play) checkRest(pass Pass) {
	if !pass.Decision.IsEmpty() || len(pass.Decision.Events) > 0 {
		p.breach(RestIsEmpty, "at rest the controllers still want "+outline(pass.Decision))
	}
}

// outline is a decision in few words.
func outline(d plan.Decision) string {
	var words []string
	for _, a := range d.Actions {
		words = append(words, fmt.Sprintf("%s %s", a.Verb, a.Object.GetName()))
	}
	for _, e := range d.Events {
		words = append(words, "event "+e.Reason)
	}
	if d.Wake.After > 0 {
		words = append(words, fmt.Sprintf("wake in %s", d.Wake.After))
	}
	return "[" + strings.Join(words, ", ") + "]"
}
