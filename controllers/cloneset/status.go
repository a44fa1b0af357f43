// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
)

// Reasons of the conditions Ready, Reconciling and Stalled.
const (
	reasonInvalid     = "InvalidSpec"
	reasonAvailable   = "Available"
	reasonBatch       = "PartitionReached"
	reasonPaused      = "Paused"
	reasonProgressing = "Progressing"
	reasonDeadline    = kruisev1beta1.CloneSetProgressDeadlineExceeded
	reasonNotInPlace  = "InPlaceImpossible"
	reasonFailed      = "WriteFailed"
	reasonLimited     = "MaxUnavailable"
)

// Status is what a CloneSet's status should say after a decision was carried out. It is equal to the observed one where nothing
// changed, times included, so that it need not be written.
func Status(s Snapshot, _ plan.Decision, o plan.Outcome) kruisev1beta1.CloneSetStatus {
	return Look(s).Status(o)
}

// Status is what the status should say; see the function of that name.
func (p Pass) Status(o plan.Outcome) kruisev1beta1.CloneSetStatus {
	s, v := p.snapshot, p.view
	status := *s.Set.Status.DeepCopy()
	status.ObservedGeneration = s.Set.Generation
	if p.err != nil {
		setStalled(&status, v0(s), reasonInvalid, p.err.Error())
		return status
	}
	if v == nil {
		return status
	}
	v.tell(&status)
	tellCollision(&status, o)
	v.tellFailures(&status, o)
	v.tellInPlace(&status)
	v.tellScaleLimit(&status)
	v.tellProgress(&status)
	v.tellReadiness(&status, o)
	return status
}

// v0 is a view for a set that cannot be understood: it knows the time and nothing else.
func v0(s Snapshot) *view { return &view{Snapshot: s} }

// tell counts the Pods.
func (v *view) tell(status *kruisev1beta1.CloneSetStatus) {
	status.Replicas, status.ReadyReplicas, status.AvailableReplicas = 0, 0, 0
	status.UpdatedReplicas, status.UpdatedReadyReplicas, status.UpdatedAvailableReplicas = 0, 0, 0
	for _, f := range v.active {
		ready, available, updated := count(f.IsReady()), count(v.isAvailable(f)), count(v.isUpdated(f))
		status.Replicas++
		status.ReadyReplicas += ready
		status.AvailableReplicas += available
		status.UpdatedReplicas += updated
		status.UpdatedReadyReplicas += updated * ready
		status.UpdatedAvailableReplicas += updated * available
	}
	replicas := int32(v.limits.Replicas)
	status.ExpectedUpdatedReplicas = replicas - int32(v.limits.Partition)
	status.UpdateRevision = v.choice.Update.Name
	if status.CurrentRevision == "" || status.UpdatedReplicas == replicas && status.Replicas == replicas {
		status.CurrentRevision = v.choice.Current.Name
		if status.UpdatedReplicas == replicas {
			status.CurrentRevision = v.choice.Update.Name
		}
	}
	if selector, err := metav1.LabelSelectorAsSelector(v.Set.Spec.Selector); err == nil {
		status.LabelSelector = selector.String()
	}
}

func count(is bool) int32 {
	if is {
		return 1
	}
	return 0
}

// tellCollision counts a collision when the name of a new revision is taken by another: the next hash is another one.
func tellCollision(status *kruisev1beta1.CloneSetStatus, o plan.Outcome) {
	f := o.FailureOf(plan.PhaseRevision)
	if f == nil || f.Action.Verb != plan.Create || !apierrors.IsAlreadyExists(f.Err) {
		return
	}
	next := int32(1)
	if status.CollisionCount != nil {
		next = *status.CollisionCount + 1
	}
	status.CollisionCount = &next
}

// tellFailures sets FailedScale and FailedUpdate while their cause lasts: until a pass gets as far and nothing fails.
func (v *view) tellFailures(status *kruisev1beta1.CloneSetStatus, o plan.Outcome) {
	for kind, phases := range map[kruisev1beta1.CloneSetConditionType][]plan.Phase{
		kruisev1beta1.CloneSetConditionFailedScale:  {plan.PhaseScale},
		kruisev1beta1.CloneSetConditionFailedUpdate: {plan.PhaseUpdate, plan.PhaseRefresh},
	} {
		var failure *plan.Failure
		isOver := true
		for _, phase := range phases {
			if failure == nil {
				failure = o.FailureOf(phase)
			}
			isOver = isOver && isTried(o, phase)
		}
		switch {
		case failure != nil:
			v.set(status, kruisev1beta1.CloneSetCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reasonFailed, Message: failure.Err.Error()})
		case isOver:
			removeCondition(status, kind)
		}
	}
}

// isTried says that a pass came to a phase and did all that it wanted there: nothing happens beside the writing of a revision, and no update
// beside scaling.
func isTried(o plan.Outcome, phase plan.Phase) bool {
	prevents := func(a *plan.Action) bool {
		return a.Phase == plan.PhaseRevision && a.Verb != plan.Delete || phase == plan.PhaseUpdate && a.Phase == plan.PhaseScale
	}
	for i := range o.Done {
		if prevents(&o.Done[i]) {
			return false
		}
	}
	for i := range o.Failures {
		if prevents(&o.Failures[i].Action) {
			return false
		}
	}
	for i := range o.Deferred {
		if a := &o.Deferred[i].Action; a.Phase == phase || prevents(a) {
			return false
		}
	}
	return true
}

// tellScaleLimit says that Pods are missing which may not be created yet.
func (v *view) tellScaleLimit(status *kruisev1beta1.CloneSetStatus) {
	if _, isLimited := v.scaleLimit(); !isLimited {
		removeCondition(status, kruisev1beta1.CloneSetConditionScaleUpLimited)
		return
	}
	v.set(status, kruisev1beta1.CloneSetCondition{
		Type: kruisev1beta1.CloneSetConditionScaleUpLimited, Status: corev1.ConditionTrue, Reason: reasonLimited,
		Message: fmt.Sprintf("Pods are created only while fewer than %d are unavailable (scaleStrategy.maxUnavailable)", v.limits.ScaleMaxUnavailable),
	})
}

// tellInPlace says whether the running update is made in place, and why not.
func (v *view) tellInPlace(status *kruisev1beta1.CloneSetStatus) {
	verdict := v.verdict()
	if verdict == nil {
		removeCondition(status, kruisev1beta1.CloneSetConditionInPlaceUpdatable)
		return
	}
	c := kruisev1beta1.CloneSetCondition{
		Type: kruisev1beta1.CloneSetConditionInPlaceUpdatable, Status: corev1.ConditionTrue, Reason: "InPlace", Message: "Pods are updated in place",
	}
	if !verdict.OK {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, verdict.Reason, v.explanation(*verdict)
	}
	v.set(status, c)
}

// tellProgress sets the published condition Progressing.
// COMPAT: the order of the reasons is published, but for OnDelete: such a set waits for its users, and no deadline applies to them.
func (v *view) tellProgress(status *kruisev1beta1.CloneSetStatus) {
	c := kruisev1beta1.CloneSetCondition{Type: kruisev1beta1.CloneSetConditionProgressing, Status: corev1.ConditionTrue}
	switch {
	case v.isComplete(status), v.isOnDelete() && v.isServing(status):
		c.Reason, c.Message = kruisev1beta1.CloneSetAvailable, "CloneSet is available"
	case v.strategy.Paused:
		c.Reason, c.Message = kruisev1beta1.CloneSetProgressPaused, "CloneSet is paused"
	case v.isPartitionAvailable(status):
		c.Reason, c.Message = kruisev1beta1.CloneSetProgressPartitionAvailable, "CloneSet has been paused by its partition"
	case v.isOverdue(status):
		c.Status, c.Reason = corev1.ConditionFalse, kruisev1beta1.CloneSetProgressDeadlineExceeded
		c.Message = fmt.Sprintf("no progress for %d s", *v.Set.Spec.ProgressDeadlineSeconds)
	default:
		c.Reason, c.Message = kruisev1beta1.CloneSetProgressUpdated, "CloneSet is progressing"
	}
	v.set(status, c)
	if hasProgressed(&v.Set.Status, status) {
		conditionOf(status, c.Type).LastUpdateTime = metav1.NewTime(v.Now)
	}
}

// hasProgressed says that a Pod more was created, updated or became available, so that the deadline starts anew.
func hasProgressed(old, now *kruisev1beta1.CloneSetStatus) bool {
	return now.ObservedGeneration != old.ObservedGeneration || now.UpdateRevision != old.UpdateRevision ||
		now.Replicas != old.Replicas || now.UpdatedReplicas > old.UpdatedReplicas ||
		now.UpdatedAvailableReplicas > old.UpdatedAvailableReplicas || now.AvailableReplicas > old.AvailableReplicas
}

// isComplete says that every Pod is there, at the update revision, and serves.
func (v *view) isComplete(status *kruisev1beta1.CloneSetStatus) bool {
	replicas := int32(v.limits.Replicas)
	return status.Replicas == replicas && status.UpdatedReplicas == replicas && status.UpdatedAvailableReplicas == replicas
}

// isPartitionAvailable says that as many updated Pods serve as the partition lets there be, whatever the others do.
func (v *view) isPartitionAvailable(status *kruisev1beta1.CloneSetStatus) bool {
	return !v.isOnDelete() && int(status.ExpectedUpdatedReplicas) < v.limits.Replicas &&
		status.UpdatedAvailableReplicas >= status.ExpectedUpdatedReplicas
}

// isPartitionReached says that the update has come as far as its partition lets it, and that every Pod serves.
func (v *view) isPartitionReached(status *kruisev1beta1.CloneSetStatus) bool {
	return v.isPartitionAvailable(status) && v.isServing(status)
}

// isOverdue says that the deadline has passed since the last progress.
func (v *view) isOverdue(status *kruisev1beta1.CloneSetStatus) bool {
	told := conditionOf(&v.Set.Status, kruisev1beta1.CloneSetConditionProgressing)
	if told == nil || v.Set.Spec.ProgressDeadlineSeconds == nil || hasProgressed(&v.Set.Status, status) {
		return false
	}
	left, isRunning := v.deadlineIn()
	return isRunning && left <= 0 || told.Reason == kruisev1beta1.CloneSetProgressDeadlineExceeded
}

// deadlineIn is how long the rollout may still go without progress, and whether that is counted at all: only while the set is known to be at
// work. A Pod of a set at rest that falters begins a new time.
func (v *view) deadlineIn() (left time.Duration, isRunning bool) {
	told := conditionOf(&v.Set.Status, kruisev1beta1.CloneSetConditionProgressing)
	seconds := v.Set.Spec.ProgressDeadlineSeconds
	if seconds == nil || told == nil || told.Reason != kruisev1beta1.CloneSetProgressUpdated {
		return 0, false
	}
	return told.LastUpdateTime.Add(time.Duration(*seconds) * time.Second).Sub(v.Now), true
}
