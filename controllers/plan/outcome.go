// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// Outcome is what became of a Decision's actions.
type Outcome struct {
	// Done are the actions whose every write succeeded.
	Done []Action
	// Failures are the actions that failed, in the order in which they were planned.
	Failures []Failure
	// Deferred are actions that were not begun or were overtaken, each with its reason. The next plan decides anew.
	Deferred []Deferral
}

// Deferral is an action that is left to the next plan, with its reason.
type Deferral struct {
	Action Action
	Reason DeferralReason
	// Message is for people; it does not change while the same action is deferred for the same reason.
	Message string
}

// DeferralReason says in one CamelCase word why an action is left to the next plan.
type DeferralReason string

const (
	// Superseded says that somebody has written to the object since it was observed, or that another one has its name now.
	Superseded DeferralReason = "Superseded"
	// ObjectGone says that the object has been deleted.
	ObjectGone DeferralReason = "ObjectGone"
	// NameTaken says that an object of the name exists already, which the Action said to leave to the next plan.
	NameTaken DeferralReason = "NameTaken"
	// NotBegun says that something before it did not succeed: an earlier step, a creation of an earlier batch, or what comes first with it.
	NotBegun DeferralReason = "NotBegun"
	// NamespaceTerminating says that the namespace is being deleted: nothing can be created in it any more, and trying again is in vain.
	NamespaceTerminating DeferralReason = "NamespaceTerminating"
)

// IsNamespaceTerminating reports whether something could not be created because the namespace is being deleted.
func (o Outcome) IsNamespaceTerminating() bool {
	return slices.ContainsFunc(o.Deferred, func(d Deferral) bool { return d.Reason == NamespaceTerminating })
}

// DeferNotBegun appends actions that were not begun.
func (o *Outcome) DeferNotBegun(message string, actions ...Action) {
	for _, a := range actions {
		o.Deferred = append(o.Deferred, Deferral{Action: a, Reason: NotBegun, Message: message})
	}
}

// Failure is an action with the error that ended it.
type Failure struct {
	Action Action
	Err    error
	// Subresource is what the write that failed went to, such as "resize"; empty for the object itself.
	Subresource string
}

// FailureOf returns the first failure of a phase, or nil.
func (o Outcome) FailureOf(phase Phase) *Failure {
	for i := range o.Failures {
		if o.Failures[i].Action.Phase == phase {
			return &o.Failures[i]
		}
	}
	return nil
}
