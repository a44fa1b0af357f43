// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"slices"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/rollout"
)

// scale adds or removes Pods and says whether it wants to.
func (v *view) scale(d *plan.Decision) bool {
	counts := v.count(v.countsAsUpdated)
	before := len(d.Actions)
	if v.regret(d, counts) {
		return true
	}
	if counts.Create > 0 {
		v.create(d, counts)
		return len(d.Actions) > before
	}
	v.deleteReleased(d)
	quota := deleteQuota{available: counts.DeleteAvailable}
	v.deleteSpecified(d, &quota)
	v.deleteSurplus(d, counts, &quota)
	return len(d.Actions) > before
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
	return rollout.Calculate(in)
}

// countsAsUpdated says that a Pod is one of the updated ones when Pods are added or removed. A gate counts those that only wait for their hook among
// them, so that no other Pod of the new revision is created in their place.
func (v *view) countsAsUpdated(f *pods.Facts) bool {
	return v.isUpdated(f) || v.Policy.PreparingUpdateAsUpdate && f.State == pub.LifecycleStatePreparingUpdate
}

func (v *view) rollsBack() bool {
	return v.Policy.PartitionRollback && v.choice.Current.Name != v.choice.Update.Name
}

// create adds Pods, those of the current revision first, as many as the limit on scaling and the pool of fresh IDs let it.
func (v *view) create(d *plan.Decision, counts rollout.Result) {
	if counts.CreateNow < counts.Create {
		d.Events = append(d.Events, scaleUpLimited(counts.CreateNow, counts.Create))
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
			Namespace:   v.Set.Namespace,
			Name:        v.Set.Name + "-" + id,
			Owner:       v.owner(),
			Labels:      labels,
			Annotations: map[string]string{pub.LifecycleTimestampKey: timestamp(v.Now)},
		})
		d.Act(v.withVolumes(plan.Action{
			Verb: plan.Create, Phase: plan.PhaseScale, Object: pod, Done: createdPod(pod.Name), Failed: createFailed(pod.Name),
		}, pod, id))
	}
}

// regret takes a planned deletion back when Pods are missing: a Pod that waits for its preDelete hook, and that nobody named, serves on.
func (v *view) regret(d *plan.Decision, counts rollout.Result) bool {
	hook := v.hooks.PreDelete()
	missing := v.limits.Replicas - len(v.active)
	if hook != nil && hook.MarkPodNotReady {
		return false
	}
	preparing := v.free(slices.DeleteFunc(slices.Clone(v.active), func(f *pods.Facts) bool { return !f.IsPreparingDelete() }))
	missing += len(preparing)
	if missing <= 0 || len(preparing) == 0 || counts.Delete > 0 {
		return false
	}
	acted := false
	for _, f := range preparing {
		if v.isToDelete(f) || missing <= 0 {
			continue
		}
		missing--
		p := &inplace.Patch{}
		p.State(pub.LifecycleStatePreparingNormal, v.Now)
		v.patch(d, f, plan.Action{Phase: plan.PhaseScale, Changes: []plan.Change{p.Change()}})
		acted = true
	}
	return acted
}

// deleteQuota is how many available Pods may still be deleted.
type deleteQuota struct{ available int }

// take asks for the deletion of one Pod; one that does not serve is free.
func (q *deleteQuota) take(isAvailable bool) bool {
	if !isAvailable {
		return true
	}
	q.available--
	return q.available >= 0
}

// deleteReleased deletes Pods whose preDelete hook has been released.
func (v *view) deleteReleased(d *plan.Decision) {
	for _, f := range v.free(v.active) {
		if f.IsPreparingDelete() && !v.hooks.BlocksDelete(f) {
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
	for _, f := range named {
		if !quota.take(v.isAvailable(f)) {
			d.Note("DeleteLimited", fmt.Sprintf("Pod %s is to be deleted and waits: too few Pods are available", f.Pod.Name))
			return
		}
		v.delete(d, f)
	}
}

// spread says how crowded the places of the Pods are. Those on their way out do not crowd them any more.
func (v *view) spread() order.Spread {
	staying := slices.DeleteFunc(slices.Clone(v.active), v.isLeaving)
	return order.SpreadOf(staying, v.Set.Spec.Template.Spec.TopologySpreadConstraints)
}

// deleteSurplus deletes the Pods that are too many: first old ones, as many as the partition has too many, then updated ones.
func (v *view) deleteSurplus(d *plan.Decision, counts rollout.Result, quota *deleteQuota) {
	if counts.Delete == 0 {
		return
	}
	candidates := slices.DeleteFunc(slices.Clone(v.active), func(f *pods.Facts) bool { return v.isToDelete(f) || f.IsPreparingDelete() })
	order.ForDelete(candidates, v.spread(), v.clock)
	oldLeft, newLeft := counts.DeleteOld, counts.Delete-counts.DeleteOld
	for _, f := range candidates {
		left := &newLeft
		if !v.countsAsUpdated(f) {
			left = &oldLeft
		}
		if *left == 0 {
			continue
		}
		*left--
		if !quota.take(v.isAvailable(f)) {
			d.Note("DeleteLimited", fmt.Sprintf("Pod %s is too many and waits: too few Pods are available", f.Pod.Name))
			continue
		}
		if !v.touched[f.Pod.UID] {
			v.delete(d, f)
		}
	}
}

// delete deletes a Pod, or moves it to PreparingDelete while its hook blocks.
func (v *view) delete(d *plan.Decision, f *pods.Facts) {
	if v.hooks.BlocksDelete(f) {
		if f.IsPreparingDelete() {
			return
		}
		p := &inplace.Patch{}
		p.State(pub.LifecycleStatePreparingDelete, v.Now)
		v.patch(d, f, plan.Action{Phase: plan.PhaseScale, Changes: []plan.Change{p.Change()}})
		return
	}
	v.touched[f.Pod.UID] = true
	d.Act(v.withoutVolumes(plan.Action{
		Verb: plan.Delete, Phase: plan.PhaseScale, Object: f.Pod, Done: deletedPod(f.Pod.Name), Failed: deleteFailed(f.Pod.Name),
	}, f))
}
