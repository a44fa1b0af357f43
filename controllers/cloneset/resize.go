// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
)

// resizeProblem is why a resize that is under way does not go on; nil when none has a problem. One that can never be made comes before those that
// may be made later.
func (v *view) resizeProblem() *plan.Verdict {
	found := plan.Yes()
	for _, f := range v.active {
		verdict := inplace.ResizeProblem(f)
		if !verdict.OK && (found.OK || found.Reason != inplace.ReasonInfeasible && verdict.Reason == inplace.ReasonInfeasible) {
			found = verdict
		}
	}
	if found.OK {
		return nil
	}
	return &found
}

// refusal is why the API server refuses a resize; nil when it refuses none, or when something else failed too.
func refusal(o plan.Outcome) *plan.Verdict {
	var found *plan.Verdict
	for _, failure := range o.Failures {
		verdict := inplace.Refusal(failure)
		if verdict.OK {
			return nil
		}
		if found == nil {
			found = &verdict
		}
	}
	return found
}

// explainResize tells of a resize that the kubelet does not make, once for each cause: the conditions of the last pass say what was told already.
func (v *view) explainResize(d *plan.Decision) {
	problem := v.resizeProblem()
	if problem == nil {
		return
	}
	d.Note(problem.Reason, problem.Message)
	if told := conditionOf(&v.Set.Status, kruisev1beta1.CloneSetConditionReady); told == nil || told.Reason != problem.Reason {
		d.Events = append(d.Events, warning(problem.Reason, problem.Message))
	}
}

// unresized is the health of a set with such a resize. The kubelet tries again what it deferred; what is infeasible or refused needs help.
func (v *view) unresized(status *kruisev1beta1.CloneSetStatus, problem plan.Verdict) health {
	isStalled := problem.Reason == inplace.ReasonInfeasible || problem.Reason == inplace.ReasonRefused || v.isOverdue(status)
	return health{reason: problem.Reason, message: v.oneLine(status) + ": " + problem.Message, stalled: isStalled, reconciling: !isStalled}
}
