// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
	"github.com/keelson/keelson/controllers/plan/rollout"
)

// scale adds or removes Pods and says whether it wants to.
func (v *view) scale(d *plan.Decision) bool {
	counts := v.count(v.countsAsUpdated)
	before := len(d.Actions)
	// A Pod that its hook has let go is deleted whatever else is missing: creation may wait for it to go.
	v.deleteReleased(d)
	if v.regret(d, counts) {
		return true
	}
	if counts.Create > 0 {
		v.create(d, counts)
	}
	if counts.CreateNow > 0 {
		return len(d.Actions) > before
	}
	quota := deleteQuota{serving: counts.DeleteServing}
	v.deleteSpecified(d, &quota)
	v.deleteSurplus(d, counts, &quota)
	return len(d.Actions) > before
}

// scalingFails reports whether Pods could not be created or deleted in the last pass that tried. What fails again takes nothing from what is updated meanwhile: creations add
// Pods, and a Pod that is to be deleted counts as unavailable.
// COMPAT: published.
func (v *view) scalingFails() bool {
	failed := conditionOf(&v.Set.Status, kruisev1beta1.CloneSetConditionFailedScale)
	return failed != nil && failed.Status == corev1.ConditionTrue
}

// count asks the arithmetic with what is observed now.
func (v *view) count(isNew func(*pods.Facts) bool) rollout.Result {
	in := rollout.Input{
		Limits:                 v.limits,
		Pods:                   make([]rollout.Pod, 0, len(v.active)),
		Rollback:               v.rollsBack(),
		ExcludePreparingDelete: v.Set.Spec.ScaleStrategy.ExcludePreparingDelete || v.Policy.ExcludePreparingDelete,
	}
	for _, f := range v.active {
		in.Pods = append(in.Pods, rollout.Pod{
			New:             isNew(f),
			PreparingDelete: f.IsPreparingDelete(),
			ToDelete:        v.isToDelete(f),
			Available:       v.isAvailable(f),
		})
	}
	result := rollout.Calculate(in)
	if v.limits.MaxSurge > 0 && result.Update != 0 && v.isQuiet(result.Update) {
		in.Quiet = true
		result = rollout.Calculate(in)
	}
	return result
}

// isQuiet reports whether every Pod may be brought to the update revision, or back from it where the number is negative, without being taken out of service: no
// container is touched, and no hook is asked before or has to take the Pod in afterwards.
func (v *view) isQuiet(number int) bool {
	to := v.choice.Update
	if number < 0 {
		to = v.choice.Current
	}
	return !slices.ContainsFunc(v.active, func(f *pods.Facts) bool {
		if revision.Matches(f.Revision, to.Name) || v.isLeaving(f) {
			return false
		}
		way := v.wayTo(f, to)
		asksHook := v.hooks.BlocksUpdate(f) || v.hooks.AfterUpdate(f) != pub.LifecycleStateNormal
		return !way.verdict.OK || !way.spec.IsQuiet(f.Pod) || asksHook
	})
}

// countsAsUpdated says that a Pod is one of the updated ones when Pods are added or removed. A gate counts those that only wait for their hook among
// them, so that no other Pod of the new revision is created in their place.
func (v *view) countsAsUpdated(f *pods.Facts) bool {
	return v.isUpdated(f) || v.Policy.PreparingUpdateAsUpdate && f.State == pub.LifecycleStatePreparingUpdate
}

func (v *view) rollsBack() bool {
	return v.Policy.PartitionRollback && v.choice.Current.Name != v.choice.Update.Name
}

// scaleLimit says whether Pods are missing that scaleStrategy.maxUnavailable does not let be created now.
func (v *view) scaleLimit() (counts rollout.Result, isLimited bool) {
	if v.limits.ScaleMaxUnavailable == rollout.NoLimit {
		return counts, false
	}
	counts = v.count(v.countsAsUpdated)
	return counts, counts.CreateNow < counts.Create
}

// explainLimit tells that creation is limited, once for each time: the condition of the last pass says whether it was told already.
func (v *view) explainLimit(d *plan.Decision) {
	counts, isLimited := v.scaleLimit()
	if isLimited && conditionOf(&v.Set.Status, kruisev1beta1.CloneSetConditionScaleUpLimited) == nil {
		d.Events = append(d.Events, scaleUpLimited(counts.CreateNow))
	}
}

// create adds Pods, those of the current revision first, as many as the limit on scaling and the pool of fresh IDs let it.
func (v *view) create(d *plan.Decision, counts rollout.Result) {
	if counts.CreateNow < counts.Create {
		d.Note("ScaleUpLimited", fmt.Sprintf("creating %d of %d Pods: scaleStrategy.maxUnavailable is reached", counts.CreateNow, counts.Create))
	}
	old, err := v.template(v.choice.Current.Name)
	for i, id := range v.instanceIDs(d, counts.CreateNow) {
		rev, template := v.choice.Update.Name, &v.Set.Spec.Template
		if i < counts.CreateOld && err == nil {
			rev, template = v.choice.Current.Name, old
		}
		labels := v.revisionLabels(rev)
		labels[kruisev1beta1.CloneSetInstanceIDKey] = id
		labels[pub.LifecycleStateKey] = string(pub.LifecycleStatePreparingNormal)
		pod := pods.Build(template, pods.Identity{
			Namespace: v.Set.Namespace,
			Name:      v.Set.Name + "-" + id,
			// COMPAT: published, though the name does not come from it.
			GenerateName: v.Set.Name + "-",
			Owner:        v.owner(),
			Labels:       labels,
			Annotations:  map[string]string{pub.LifecycleTimestampKey: timestamp(v.Now)},
		})
		d.Act(v.withVolumes(plan.Action{
			Verb: plan.Create, Phase: plan.PhaseScale, Object: pod, IfExists: v.ifTaken(id), Done: createdPod(pod.Name), Failed: createFailed(),
		}, pod, id))
	}
}

// ifTaken says what it means that the name of a new Pod is taken. A fresh ID is drawn again; one that has claims is wanted for these, and somebody's Pod of that
// name is in the way: users are told.
func (v *view) ifTaken(id string) plan.IfExists {
	if len(v.claimsOf(id)) > 0 {
		return plan.ExistsFails
	}
	return plan.ExistsDefers
}

// regret takes planned deletions back when Pods are missing: a Pod that its preDelete hook holds, and that nobody named, serves on. One that the
// hook has let go is deleted all the same: whoever let it go is done with it.
// COMPAT: where a hook marks its Pods not ready, none comes back.
func (v *view) regret(d *plan.Decision, counts rollout.Result) bool {
	if counts.Delete > 0 || v.hooks.MarksNotReady() {
		return false
	}
	missing := v.limits.Replicas - len(v.active)
	var held []*pods.Facts
	for _, f := range v.active {
		if !f.IsPreparingDelete() {
			if v.isToDelete(f) {
				missing++
			}
			continue
		}
		missing++
		if !v.touched[f.Pod.UID] && !v.isToDelete(f) {
			held = append(held, f)
		}
	}
	held = held[:max(min(missing, len(held)), 0)]
	for _, f := range held {
		v.move(d, f, move{to: pub.LifecycleStatePreparingNormal, phase: plan.PhaseScale})
	}
	return len(held) > 0
}

// deleteQuota is how many Pods that serve may still be deleted.
// COMPAT: one that is not ready for minReadySeconds yet serves already, and is not free. One that was led to a hook is, though it may be ready: where all are, as many as may
// be missing are missing, and none could ever be deleted.
type deleteQuota struct{ serving int }

// take asks for the deletion of one Pod; one that does not serve is free.
func (q *deleteQuota) take(isServing bool) bool {
	if !isServing {
		return true
	}
	q.serving--
	return q.serving >= 0
}

// deleteReleased deletes Pods whose preDelete hook has been released.
func (v *view) deleteReleased(d *plan.Decision) {
	for _, f := range v.active {
		if f.IsPreparingDelete() && !v.touched[f.Pod.UID] && !v.hooks.BlocksDelete(f) {
			v.delete(d, f)
		}
	}
}

// deleteSpecified deletes the Pods that somebody named.
func (v *view) deleteSpecified(d *plan.Decision, quota *deleteQuota) {
	named := slices.DeleteFunc(v.free(v.active), func(f *pods.Facts) bool { return !v.isToDelete(f) || f.IsPreparingDelete() })
	if len(named) == 0 {
		return
	}
	order.ForDelete(named, v.spread(), v.clock)
	waiting := ""
	for _, f := range named {
		if !quota.take(f.IsServing()) {
			waiting = cmp.Or(waiting, f.Pod.Name)
			continue
		}
		v.delete(d, f)
	}
	if waiting != "" {
		d.Note("DeleteLimited", fmt.Sprintf("Pod %s is to be deleted and waits: too few Pods are available", waiting))
	}
}

// spread says how crowded the places of the Pods are. Those on their way out do not crowd them any more.
func (v *view) spread() order.Spread {
	staying := slices.DeleteFunc(slices.Clone(v.active), v.isLeaving)
	return order.SpreadOf(staying, v.Set.Spec.Template.Spec.TopologySpreadConstraints)
}

// deletesPerPass is how many surplus Pods one pass deletes. What else there is to do must not wait until thousands are gone.
const deletesPerPass = 500

// deleteSurplus deletes the Pods that are too many: first old ones, as many as the partition has too many, then updated ones.
func (v *view) deleteSurplus(d *plan.Decision, counts rollout.Result, quota *deleteQuota) {
	if counts.Delete == 0 {
		return
	}
	var old, updated []*pods.Facts
	for _, f := range v.active {
		switch {
		case v.isLeaving(f):
		case v.countsAsUpdated(f):
			updated = append(updated, f)
		default:
			old = append(old, f)
		}
	}
	// The more of them go before, the less crowded a place is: those that stay count, too.
	spread := v.spread()
	order.ForDelete(old, spread, v.clock)
	order.ForDelete(updated, spread, v.clock)
	surplus := slices.Concat(old[:min(counts.DeleteOld, len(old))], updated[:min(counts.Delete-counts.DeleteOld, len(updated))])
	begun, waiting := len(d.Actions), ""
	for _, f := range surplus {
		if len(d.Actions)-begun >= deletesPerPass {
			// The deletions themselves bring the next pass.
			break
		}
		if !quota.take(f.IsServing()) {
			waiting = cmp.Or(waiting, f.Pod.Name)
			continue
		}
		if !v.touched[f.Pod.UID] {
			v.delete(d, f)
		}
	}
	if waiting != "" {
		d.Note("DeleteLimited", fmt.Sprintf("Pod %s is too many and waits: too few Pods are available", waiting))
	}
}

// delete deletes a Pod, or moves it to PreparingDelete while its hook blocks.
func (v *view) delete(d *plan.Decision, f *pods.Facts) {
	if v.hooks.BlocksDelete(f) {
		if f.IsPreparingDelete() {
			return
		}
		v.deleting[f.Pod.UID] = true
		v.move(d, f, move{to: pub.LifecycleStatePreparingDelete, phase: plan.PhaseScale})
		return
	}
	v.touched[f.Pod.UID], v.deleting[f.Pod.UID] = true, true
	d.Act(v.withoutVolumes(plan.Action{
		Verb: plan.Delete, Phase: plan.PhaseScale, Object: f.Pod, Done: deletedPod(f.Pod.Name), Failed: deleteFailed(f.Pod.Name),
		// A hook that is set between the look and the deletion holds the Pod, too.
		Locked: v.hooks.PreDelete() != nil,
	}, f))
}
