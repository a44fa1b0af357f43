// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
)

// move leads a Pod to a state of its life.
type move struct {
	to    pub.LifecycleStateType
	phase plan.Phase
	// isReady says that no update keeps the Pod from being ready.
	isReady bool
	// hook is set on the Pod, so that its owner is asked again; nil sets none.
	hook *pub.LifecycleHook
}

// move writes the state together with the conditions that belong to it, in one write. Who asks for the state that the Pod has mends the
// conditions alone; where they are right nothing is written.
func (v *view) move(d *plan.Decision, f *pods.Facts, m move) {
	p := &inplace.Patch{}
	if m.to != f.State {
		p.State(m.to, v.Now)
	}
	if m.isReady {
		p.Ready(f, v.Now)
	}
	if m.hook != nil {
		for key, value := range m.hook.LabelsHandler {
			p.Label(key, value)
		}
		p.Finalizers(m.hook.FinalizersHandler)
	}
	p.Hold(f, v.hooks.Readiness(f.Readiness, m.to), v.Now)
	if p.IsEmpty() {
		return
	}
	change := p.Change()
	// The kubelet writes to a new Pod all the time, and nothing that it says keeps the Pod from being Normal.
	change.Unlocked = f.State == pub.LifecycleStatePreparingNormal && len(f.Readiness.Keys) == 0 && m.phase == plan.PhaseRefresh
	v.patch(d, f, plan.Action{Phase: m.phase, Changes: []plan.Change{change}})
}

// advance moves a Pod to the next state of its life where nothing else has to happen first, and mends its conditions.
func (v *view) advance(d *plan.Decision, f *pods.Facts) {
	if f.State == pub.LifecycleStatePreparingNormal {
		v.welcome(d, f)
		return
	}
	if isAtRest(f) && f.Readiness.IsFree() {
		return
	}
	if next := v.hooks.Next(f); next != "" {
		v.move(d, f, move{to: next, phase: plan.PhaseRefresh, isReady: true})
		return
	}
	if !f.Readiness.IsRight(v.hooks.Readiness(f.Readiness, f.State)) {
		v.move(d, f, move{to: f.State, phase: plan.PhaseRefresh})
	}
}

// isAtRest says that nothing is done with a Pod.
func isAtRest(f *pods.Facts) bool { return f.State == "" || f.State == pub.LifecycleStateNormal }

// welcome makes a new Pod ready and Normal, in one write. Where a preNormal hook has to be set first the Pod is made ready before: who sets it may
// wait for that.
func (v *view) welcome(d *plan.Decision, f *pods.Facts) {
	// A Pod whose deletion was taken back may have been in the middle of an update.
	if verdict := inplace.Complete(f); !verdict.OK {
		d.Note("WaitingForUpdate", fmt.Sprintf("Pod %s: %s", f.Pod.Name, verdict.Message))
		return
	}
	if next := v.hooks.Next(f); next != "" {
		v.move(d, f, move{to: next, phase: plan.PhaseRefresh, isReady: true})
	} else if f.Scheduled {
		v.move(d, f, move{to: f.State, phase: plan.PhaseRefresh, isReady: true})
	}
}

// prepareUpdate asks the hook before an update in place, and says whether it has to be waited for.
func (v *view) prepareUpdate(d *plan.Decision, f *pods.Facts) bool {
	hook := v.hooks.InPlaceUpdate()
	isBlocked := v.hooks.BlocksUpdate(f)
	switch f.State {
	case pub.LifecycleStatePreparingUpdate:
		return isBlocked
	case pub.LifecycleStateUpdating:
		// The hook has let this Pod go, and has not got it back yet.
		return false
	case pub.LifecycleStateUpdated:
		// The owner of the hook has not taken the Pod back yet: it is asked once more.
		if hook == nil {
			return false
		}
	default:
		if !isBlocked {
			return false
		}
		hook = nil
	}
	v.move(d, f, move{to: pub.LifecycleStatePreparingUpdate, phase: plan.PhaseUpdate, hook: hook})
	return true
}

// recall takes Pods back that were prepared for an update which is not due any more: it was rolled back, or the partition keeps them.
func (v *view) recall(d *plan.Decision, due []*pods.Facts) {
	isDue := map[types.UID]bool{}
	for _, f := range due {
		if f.State == pub.LifecycleStatePreparingUpdate {
			isDue[f.Pod.UID] = true
		}
	}
	for _, f := range v.active {
		if f.State != pub.LifecycleStatePreparingUpdate || isDue[f.Pod.UID] || v.touched[f.Pod.UID] || v.isLeaving(f) {
			continue
		}
		if verdict := inplace.Complete(f); !verdict.OK {
			// An update from before the preparation is not finished: it is gone on with.
			v.move(d, f, move{to: pub.LifecycleStateUpdating, phase: plan.PhaseUpdate})
			continue
		}
		v.move(d, f, move{to: v.hooks.AfterUpdate(f), phase: plan.PhaseUpdate, isReady: true})
	}
}

// label gives Pods the label pod-template-hash that lack it.
// COMPAT: older releases did not write it.
func (v *view) label(d *plan.Decision) {
	begun := len(d.Actions)
	for _, f := range v.active {
		if len(d.Actions)-begun >= updatesPerPass {
			return
		}
		if _, found := f.Pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; found || f.Revision == "" || v.touched[f.Pod.UID] {
			continue
		}
		p := &inplace.Patch{}
		p.Label(appsv1.DefaultDeploymentUniqueLabelKey, revision.ShortHash(f.Revision))
		v.patch(d, f, plan.Action{Phase: plan.PhaseRefresh, Changes: []plan.Change{p.Change()}})
	}
}

// heal makes Pods ready that were drained for an update which nobody makes any more: the writer died before the second write, and the wish
// has changed since.
func (v *view) heal(d *plan.Decision) {
	for _, f := range v.active {
		isDrained := f.HasInPlaceGate && f.InPlaceReady != corev1.ConditionTrue
		if !isDrained || !isAtRest(f) || v.touched[f.Pod.UID] || inplace.Next(f, v.Now).Kind != inplace.Idle {
			continue
		}
		v.move(d, f, move{to: f.State, phase: plan.PhaseRefresh, isReady: true})
	}
}
