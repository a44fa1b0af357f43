// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
)

// refresh advances what is under way on single Pods: broken annotations are removed, new Pods become Normal, and updates in place go on
// to their next step.
func (v *view) refresh(d *plan.Decision) {
	var waits waiting
	for _, f := range v.active {
		switch step := inplace.Next(f, v.Now); {
		case len(f.Broken) > 0 || inplace.IsLost(f):
			v.removeBroken(d, f)
		case step.Kind == inplace.Wait:
			waits.add(f, step.Message)
			if step.After > 0 {
				d.WakeIn(step.After, step.Message)
			}
		case step.Kind == inplace.Ask:
			v.asking = append(v.asking, f)
		case step.Kind != inplace.Idle:
			v.patch(d, f, plan.Action{Phase: plan.PhaseRefresh, Changes: step.Write(f, v.hooks.AfterUpdate(f), v.Now)})
		default:
			v.advance(d, f)
		}
	}
	waits.tell(d)
}

// waiting are the Pods that wait for their containers. They may be thousands: only the first is told of in full.
type waiting struct {
	number int
	first  *pods.Facts
	why    string
}

func (w *waiting) add(f *pods.Facts, why string) {
	if w.number++; w.number == 1 {
		w.first, w.why = f, why
	}
}

func (w *waiting) tell(d *plan.Decision) {
	switch w.number {
	case 0:
	case 1:
		d.Note("WaitingForUpdate", fmt.Sprintf("Pod %s: %s", w.first.Pod.Name, w.why))
	default:
		d.Note("WaitingForUpdate", fmt.Sprintf("Pod %s: %s; %d more wait", w.first.Pod.Name, w.why, w.number-1))
	}
}

// askAgain asks for the resources of Pods that are still to be asked for, and that nothing else has happened to. Where thousands are refused, a pass asks for
// some of them, and later ones for others: the clock says where to begin.
func (v *view) askAgain(d *plan.Decision) {
	all := v.free(v.asking)
	for i := range min(len(all), updatesPerPass) {
		f := all[(i+int(v.Now.Unix()))%len(all)]
		v.patch(d, f, plan.Action{
			Phase: plan.PhaseRefresh, Changes: inplace.Next(f, v.Now).Write(f, v.hooks.AfterUpdate(f), v.Now), Failed: updateInPlaceFailed(f.Pod.Name, v.choice.Update.Name),
		})
	}
}

// removeBroken removes annotations that cannot be read. Where one of them was of an update under way, the Pod gets what its revision says all the same: the
// label tells where it was going.
func (v *view) removeBroken(d *plan.Decision, f *pods.Facts) {
	all, p, wasUpdating := f.Broken, &inplace.Patch{}, f.State == pub.LifecycleStateUpdating
	if inplace.IsLost(f) {
		all = append(slices.Clone(all), pods.BrokenAnnotation{Key: pub.InPlaceUpdateGraceKey, Problem: "what it says cannot be gone on with"})
		p.RemoveAnnotation(pub.InPlaceUpdateGraceKeyOld)
	}
	for _, broken := range all {
		p.RemoveAnnotation(broken.Key)
		wasUpdating = wasUpdating || broken.Key == pub.InPlaceUpdateGraceKey || broken.Key == pub.InPlaceUpdateGraceKeyOld
	}
	changes := []plan.Change{p.Change()}
	if template, err := v.template(f.Revision); wasUpdating && err == nil {
		if changes, err = inplace.Restore(f, template, inplace.OptionsOf(v.Policy), p, v.Now); err != nil {
			d.Note("FailedUpdate", err.Error())
			return
		}
	}
	v.patch(d, f, plan.Action{
		Phase: plan.PhaseRefresh, Changes: changes, Done: brokenAnnotation(f.Pod.Name, all[0].Key, all[0].Problem),
	})
}

// updatesPerPass is how many updates one pass begins. The events of these bring the next pass, which ends what has restarted before it begins more: a Pod that
// could serve again must not wait until all others have been drained.
const updatesPerPass = 100

// update brings Pods to the revision that the partition gives them, as many as may be unavailable.
func (v *view) update(d *plan.Decision) {
	to, due, limit := v.due()
	v.recall(d, due)
	if v.strategy.Paused {
		return
	}
	budget := v.updateBudget(limit, to)
	isLimited, begun := false, len(d.Actions)
	for _, f := range due {
		if len(d.Actions)-begun >= updatesPerPass {
			break
		}
		if f.State == pub.LifecycleStatePreparingUpdate {
			// It was taken out of service for this update, and may not be missing any longer than it must.
			budget.moving++
		} else if budget.isSpent() {
			isLimited = true
			break
		} else if !budget.take(v.isAvailable(f)) {
			// The user's priorities may put a Pod that does not serve behind others. It is free, and they may have to wait for it.
			isLimited = true
			continue
		}
		if diff := v.wayTo(f, to); diff.verdict.OK {
			v.updateInPlace(d, f, diff.spec, to)
		} else {
			v.recreate(d, f, to.Name)
		}
	}
	if isLimited {
		d.Note("UpdateLimited", "the update waits: maxUnavailable is reached")
	}
}

// due are the Pods that are to be brought to a revision, in order, and how many Pods may be unavailable meanwhile.
func (v *view) due() (to *appsv1.ControllerRevision, found []*pods.Facts, limit int) {
	// COMPAT: while scaling, a gate counts prepared Pods as updated. Here it must not, or no prepared Pod would ever be due.
	counts := v.count(v.isUpdated)
	to, number := v.choice.Update, counts.Update
	if number < 0 {
		to, number = v.choice.Current, -number
	}
	if v.isOnDelete() || number == 0 {
		return to, nil, 0
	}
	candidates := v.candidates(to)
	return to, candidates[:min(number, len(candidates))], counts.UpdateMaxUnavailable
}

// updateBudget is how many Pods may be taken out of service.
type updateBudget struct {
	limit int
	// unavailable counts all Pods that do not serve; moving those of them that are at the target or on their way.
	unavailable, moving int
}

func (v *view) updateBudget(limit int, to *appsv1.ControllerRevision) updateBudget {
	b := updateBudget{limit: limit}
	for _, f := range v.active {
		isLeaving := v.isLeaving(f) || v.deleting[f.Pod.UID]
		if v.isAvailable(f) && !isLeaving {
			continue
		}
		b.unavailable++
		// A Pod that is about to be deleted may wait for others to serve: if it counted as moving, they might wait for it in turn.
		if !isLeaving && revision.Matches(f.Revision, to.Name) {
			b.moving++
		}
	}
	return b
}

// isLeaving reports whether a Pod that serves is about to be deleted.
func (v *view) isLeaving(f *pods.Facts) bool { return f.IsPreparingDelete() || v.isToDelete(f) }

// isSpent says that no Pod more may move.
func (b *updateBudget) isSpent() bool { return b.moving >= b.limit }

// take asks for one Pod. A Pod that does not serve is free, but for the number of Pods that move at once.
func (b *updateBudget) take(isAvailable bool) bool {
	if b.isSpent() || isAvailable && b.unavailable >= b.limit {
		return false
	}
	b.moving++
	if isAvailable {
		b.unavailable++
	}
	return true
}

// candidates are the Pods that may be brought to a revision, in order. Under InPlaceOnly these are the ones that can be updated in place; the
// others stay as they are, and the condition InPlaceUpdatable says why.
func (v *view) candidates(to *appsv1.ControllerRevision) []*pods.Facts {
	isStuck := func(f *pods.Facts) bool {
		return v.strategy.PodUpdatePolicy == kruisev1beta1.InPlaceOnlyPodUpdatePolicyType && !v.wayTo(f, to).verdict.OK
	}
	var found []*pods.Facts
	for _, f := range v.free(v.active) {
		if revision.Matches(f.Revision, to.Name) || v.isLeaving(f) || f.Grace != "" || isStuck(f) {
			continue
		}
		found = append(found, f)
	}
	strategy := order.Strategy{Priority: v.strategy.PriorityStrategy, Scatter: v.strategy.ScatterStrategy}
	return order.ForUpdate(found, v.active, strategy)
}

// wayTo says whether and how the policy lets a Pod be brought to a revision in place.
func (v *view) wayTo(f *pods.Facts, to *appsv1.ControllerRevision) difference {
	switch v.strategy.PodUpdatePolicy {
	case kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType, kruisev1beta1.InPlaceOnlyPodUpdatePolicyType:
		return v.difference(f, to)
	default:
		return difference{verdict: plan.No("ReCreate", "podUpdatePolicy is ReCreate")}
	}
}

// updateInPlace asks the hook first, then changes the Pod.
func (v *view) updateInPlace(d *plan.Decision, f *pods.Facts, spec inplace.Spec, to *appsv1.ControllerRevision) {
	if v.prepareUpdate(d, f) {
		return
	}
	target := inplace.Target{Revision: to.Name, Labels: v.revisionLabels(to.Name), Spec: spec, After: v.hooks.AfterUpdate(f)}
	if s := v.strategy.InPlaceUpdateStrategy; s != nil {
		target.GraceSeconds = s.GracePeriodSeconds
	}
	changes, err := inplace.Begin(f, target, v.Now)
	if err != nil {
		d.Note("FailedUpdate", err.Error())
		return
	}
	v.patch(d, f, plan.Action{
		Phase: plan.PhaseUpdate, Changes: changes, Done: updatedInPlace(f.Pod.Name, to.Name), Failed: updateInPlaceFailed(f.Pod.Name, to.Name),
	})
}

// recreate marks a Pod for deletion; the next pass deletes it within the limits, and creates another.
// COMPAT: the mark is the published label, so that others see what is about to happen.
func (v *view) recreate(d *plan.Decision, f *pods.Facts, to string) {
	p := &inplace.Patch{}
	p.Label(kruisev1beta1.SpecifiedDeleteKey, "true")
	v.patch(d, f, plan.Action{
		Phase: plan.PhaseUpdate, Changes: []plan.Change{p.Change()}, Done: updatedByRecreation(f.Pod.Name, to), Failed: recreateFailed(f.Pod.Name, to),
	})
}

// verdict says whether the update that is due can be made in place; nil when none is due, or none is made in place by policy.
func (v *view) verdict() *plan.Verdict {
	if !v.isJudged {
		v.judged, v.isJudged = v.judge(), true
	}
	return v.judged
}

func (v *view) judge() *plan.Verdict {
	switch v.strategy.PodUpdatePolicy {
	case kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType, kruisev1beta1.InPlaceOnlyPodUpdatePolicyType:
	default:
		return nil
	}
	if v.isOnDelete() {
		return nil
	}
	var found plan.Verdict
	isDue := false
	for _, f := range v.active {
		if v.isUpdated(f) {
			continue
		}
		found, isDue = v.difference(f, v.choice.Update).verdict, true
		if !found.OK {
			break
		}
	}
	if !isDue {
		return nil
	}
	return &found
}

// explain tells why an update cannot be made in place, once for each cause: the condition of the last pass says what was told already.
func (v *view) explain(d *plan.Decision) {
	verdict := v.verdict()
	if verdict == nil || verdict.OK {
		return
	}
	d.Note(verdict.Reason, verdict.Message)
	told := conditionOf(&v.Set.Status, kruisev1beta1.CloneSetConditionInPlaceUpdatable)
	if told == nil || told.Status != corev1.ConditionFalse || told.Message != v.explanation(*verdict) {
		d.Events = append(d.Events, inPlaceImpossible(v.explanation(*verdict)))
	}
}

// explanation is a negative verdict with what follows from it.
func (v *view) explanation(verdict plan.Verdict) string {
	if v.strategy.PodUpdatePolicy == kruisev1beta1.InPlaceOnlyPodUpdatePolicyType {
		return verdict.Message + "; Pods stay as they are because podUpdatePolicy is InPlaceOnly"
	}
	return verdict.Message + "; Pods are recreated"
}
