// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/rollout"
)

// health is what Ready, Reconciling and Stalled say together: one of the three is True, or none while the set is paused.
//
//	complete, partition reached   Ready=True
//	work under way                Reconciling=True
//	nothing moves without help    Stalled=True
type health struct {
	reason, message             string
	ready, reconciling, stalled bool
}

// tellReadiness sets the conditions that kstatus, Flux, Argo CD and kubectl wait look at.
func (v *view) tellReadiness(status *kruisev1beta1.CloneSetStatus, o plan.Outcome) {
	h := v.health(status, o)
	if problem := v.resizeProblem(); problem != nil && len(o.Failures) == 0 {
		h = v.unresized(status, *problem)
	} else if problem = refusal(o); problem != nil {
		h = v.unresized(status, *problem)
	}
	setHealth(status, v, h)
	if v.isAtWork(status) {
		// What the condition says may change all the time; this tells since when nothing has got on.
		conditionOf(status, kruisev1beta1.CloneSetConditionReconciling).LastUpdateTime = metav1.NewTime(v.lastProgress(status))
	}
}

// health is decided in this order: the first that holds wins.
func (v *view) health(status *kruisev1beta1.CloneSetStatus, o plan.Outcome) health {
	progress, isFailing := v.oneLine(status), len(o.Failures) > 0 && o.FailureOf(plan.PhaseRevision) == nil
	if isFailing {
		progress += ": " + o.Failures[0].Err.Error()
	}
	switch {
	case o.IsNamespaceTerminating():
		return health{reason: reasonTerminating, message: progress + ", nothing more is created: the namespace is being deleted", reconciling: true}
	case v.isOverdue(status):
		return health{reason: reasonDeadline, message: progress, stalled: true}
	case isFailing:
		return health{reason: reasonFailed, message: progress, reconciling: true}
	}
	return v.healthOfRollout(status, progress)
}

// healthOfRollout is the health of a set for which nothing fails, and time has not run out.
func (v *view) healthOfRollout(status *kruisev1beta1.CloneSetStatus, progress string) health {
	switch {
	case v.isComplete(status):
		return health{reason: reasonAvailable, message: progress, ready: true}
	case v.isOnDelete() && v.isServing(status):
		return health{reason: reasonAvailable, message: progress + ", the others change when they are deleted", ready: true}
	case v.isAtPartition(status):
		return health{reason: reasonBatch, message: progress + ", the partition is reached", ready: true}
	case v.isResting(status):
		return health{reason: reasonPaused, message: progress + ", the update is paused"}
	}
	if verdict := v.stuck(); verdict != nil {
		return health{reason: reasonNotInPlace, message: v.explanation(*verdict), stalled: true}
	}
	return health{reason: reasonProgressing, message: progress, reconciling: true}
}

// isResting says that the update is paused, and that there are as many Pods as wanted.
func (v *view) isResting(status *kruisev1beta1.CloneSetStatus) bool {
	return v.strategy.Paused && int(status.Replicas) == v.limits.Replicas
}

// isAtPartition says that the partition is reached, and that no Pod beyond it is to be taken back.
func (v *view) isAtPartition(status *kruisev1beta1.CloneSetStatus) bool {
	isGoingBack := v.rollsBack() && status.UpdatedReplicas > status.ExpectedUpdatedReplicas
	return v.isPartitionReached(status) && !isGoingBack
}

// isServing says that every Pod is there and serves, whatever its revision.
func (v *view) isServing(status *kruisev1beta1.CloneSetStatus) bool {
	return int(status.AvailableReplicas) == v.limits.Replicas && status.AvailableReplicas == status.Replicas
}

// stuck is the verdict that keeps an update from being made at all: it cannot be made in place, and must not be made otherwise.
func (v *view) stuck() *plan.Verdict {
	verdict := v.verdict()
	if verdict == nil || verdict.OK || v.strategy.PodUpdatePolicy != kruisev1beta1.InPlaceOnlyPodUpdatePolicyType {
		return nil
	}
	return verdict
}

// oneLine is the state of the rollout in one line for people.
func (v *view) oneLine(status *kruisev1beta1.CloneSetStatus) string {
	line := fmt.Sprintf("%s, %d available", v.updated(status), status.AvailableReplicas)
	if f := v.blocking(); f != nil {
		line += fmt.Sprintf(", waiting for %s (%s)", f.Pod.Name, v.problem(f))
	} else if awaited := v.awaited(); len(awaited) > 0 && int(status.Replicas) < v.limits.Replicas {
		line += fmt.Sprintf(", waiting for the volumes of %s, which is about to go", awaited[0].Pod.Name)
	}
	return line
}

// updated is how far the update is. A batch is as many Pods as may change at once.
//
//	replicas 5                                   2 of 5 updated
//	replicas 7, maxUnavailable 2                 batch 2/4: 3 of 7 updated
//	replicas 9, maxUnavailable 2, partition 2    batch 2/4: 3 of 7 updated, 2 kept by the partition
func (v *view) updated(status *kruisev1beta1.CloneSetStatus) string {
	is, of, wanted := int(status.UpdatedReplicas), v.limits.Replicas, int(status.ExpectedUpdatedReplicas)
	isUpdate := v.choice.Current.Name != v.choice.Update.Name && status.CurrentRevision != status.UpdateRevision
	if isUpdate && is > wanted && v.rollsBack() {
		return fmt.Sprintf("%d of %d updated, going back to %d", is, of, wanted)
	}
	if !isUpdate || is > wanted || v.isOnDelete() {
		return fmt.Sprintf("%d of %d updated", is, of)
	}
	line := fmt.Sprintf("%d of %d updated", is, wanted)
	if batch, batches := rollout.Batch(v.limits, is, wanted); batches > 1 {
		line = fmt.Sprintf("batch %d/%d: %s", batch, batches, line)
	}
	if wanted < of {
		line += fmt.Sprintf(", %d kept by the partition", of-wanted)
	}
	return line
}

// blocking is a Pod that does not serve: one at the update revision before the others, one that is not ready before one that has not been for long
// enough.
func (v *view) blocking() *pods.Facts {
	var found *pods.Facts
	best := 0
	for _, f := range v.active {
		if v.isAvailable(f) {
			continue
		}
		rank := 1
		if v.isUpdated(f) {
			rank++
		}
		if !f.IsServing() {
			rank += 2
		}
		if rank > best {
			found, best = f, rank
		}
	}
	return found
}

// problem is why a Pod does not serve.
func (v *view) problem(f *pods.Facts) string {
	if hook := v.hooks.Waits(f); hook != "" {
		return hook
	}
	if f.IsServing() {
		return "minReadySeconds"
	}
	problem := f.Problem()
	if problem == string(pub.LifecycleStateUpdating) {
		if step := inplace.Next(f, v.Now); step.Kind == inplace.Wait {
			return step.Message
		}
	}
	return problem
}

func setStalled(status *kruisev1beta1.CloneSetStatus, v *view, reason, message string) {
	setHealth(status, v, health{reason: reason, message: message, stalled: true})
}

func setHealth(status *kruisev1beta1.CloneSetStatus, v *view, h health) {
	for kind, is := range map[kruisev1beta1.CloneSetConditionType]bool{
		kruisev1beta1.CloneSetConditionReady:       h.ready,
		kruisev1beta1.CloneSetConditionReconciling: h.reconciling,
		kruisev1beta1.CloneSetConditionStalled:     h.stalled,
	} {
		c := kruisev1beta1.CloneSetCondition{Type: kind, Status: corev1.ConditionFalse, Reason: h.reason, Message: h.message}
		if is {
			c.Status = corev1.ConditionTrue
		}
		v.set(status, c)
	}
}

// set writes a condition, and keeps the times of one that says the same already.
func (v *view) set(status *kruisev1beta1.CloneSetStatus, c kruisev1beta1.CloneSetCondition) {
	now := metav1.NewTime(v.Now)
	c.LastUpdateTime, c.LastTransitionTime = now, now
	if old := conditionOf(status, c.Type); old != nil && old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
		if old.Reason == c.Reason && old.Message == c.Message {
			c.LastUpdateTime = old.LastUpdateTime
		}
	}
	put(status, c)
}

// put writes a condition as it is. Conditions are kept in the order of their names, so that equal statuses are equal bytes.
func put(status *kruisev1beta1.CloneSetStatus, c kruisev1beta1.CloneSetCondition) {
	if old := conditionOf(status, c.Type); old != nil {
		*old = c
		return
	}
	status.Conditions = append(status.Conditions, c)
	slices.SortFunc(status.Conditions, func(a, b kruisev1beta1.CloneSetCondition) int {
		return strings.Compare(string(a.Type), string(b.Type))
	})
}

func conditionOf(status *kruisev1beta1.CloneSetStatus, kind kruisev1beta1.CloneSetConditionType) *kruisev1beta1.CloneSetCondition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == kind {
			return &status.Conditions[i]
		}
	}
	return nil
}

func removeCondition(status *kruisev1beta1.CloneSetStatus, kind kruisev1beta1.CloneSetConditionType) {
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c kruisev1beta1.CloneSetCondition) bool { return c.Type == kind })
}
