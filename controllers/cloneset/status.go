// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

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
	reasonTerminating = "NamespaceTerminating"
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
	if status.CollisionCount == nil {
		// COMPAT: it is shown as 0, too.
		status.CollisionCount = new(int32)
	}
	status.ExpectedUpdatedReplicas = replicas - int32(v.limits.Partition)
	status.UpdateRevision = v.choice.Update.Name
	status.CurrentRevision = v.choice.Current.Name
	if status.UpdatedReplicas == replicas && status.Replicas == replicas {
		status.CurrentRevision = v.choice.Update.Name
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
	next := ptr.Deref(status.CollisionCount, 0) + 1
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
			isOver = isOver && v.isTried(o, phase)
		}
		switch {
		case failure != nil:
			v.tellFailure(status, kind, failure.Err.Error())
		case isOver:
			removeCondition(status, kind)
		}
	}
}

// tellFailure sets one of the conditions of failures.
// COMPAT: they have no reason and no lastUpdateTime.
func (v *view) tellFailure(status *kruisev1beta1.CloneSetStatus, kind kruisev1beta1.CloneSetConditionType, message string) {
	c := kruisev1beta1.CloneSetCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(v.Now), Message: message}
	if told := conditionOf(status, kind); told != nil && told.Status == c.Status {
		c.LastTransitionTime = told.LastTransitionTime
	}
	put(status, c)
}

// prevents reports whether a pass with an action does not come to a phase.
func (v *view) prevents(a *plan.Action, phase plan.Phase) bool {
	if a.Phase == plan.PhaseScale {
		return phase == plan.PhaseUpdate && !v.scalingFails()
	}
	return a.Phase == plan.PhaseRevision && a.Verb != plan.Delete
}

// isTried reports whether a pass came to a phase and did all that it wanted there: nothing happens beside the writing of a revision, and no update
// beside scaling, unless that fails.
func (v *view) isTried(o plan.Outcome, phase plan.Phase) bool {
	prevents := func(a *plan.Action) bool { return v.prevents(a, phase) }
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
