// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

// Outcome is what became of a Decision's actions.
type Outcome struct {
	// Done are the actions whose every write succeeded.
	Done []Action
	// Failures are the actions that failed, in the order in which they were planned.
	Failures []Failure
	// Deferred are actions that were not begun or were overtaken: a conflict, an object that is gone, an earlier step that
	// failed. The next plan decides anew.
	Deferred []Action
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
