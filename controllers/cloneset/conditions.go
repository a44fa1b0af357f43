// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
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
	}
	setHealth(status, v, h)
}

// health is decided in this order: the first that holds wins.
func (v *view) health(status *kruisev1beta1.CloneSetStatus, o plan.Outcome) health {
	progress := v.oneLine(status)
	switch {
	case len(o.Failures) > 0 && o.FailureOf(plan.PhaseRevision) == nil:
		return health{reason: reasonFailed, message: progress + ": " + o.Failures[0].Err.Error(), reconciling: true}
	case v.isComplete(status):
		return health{reason: reasonAvailable, message: progress, ready: true}
	case v.isOnDelete() && v.isServing(status):
		return health{reason: reasonAvailable, message: progress + ", the others change when they are deleted", ready: true}
	case v.isAtPartition(status):
		return health{reason: reasonBatch, message: progress + ", the partition is reached", ready: true}
	case v.isOverdue(status):
		return health{reason: reasonDeadline, message: progress, stalled: true}
	case v.strategy.Paused && int(status.Replicas) == v.limits.Replicas:
		return health{reason: reasonPaused, message: progress + ", the update is paused"}
	}
	if verdict := v.stuck(); verdict != nil {
		return health{reason: reasonNotInPlace, message: v.explanation(*verdict), stalled: true}
	}
	return health{reason: reasonProgressing, message: progress, reconciling: true}
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
	line := fmt.Sprintf("%d of %d updated, %d available", status.UpdatedReplicas, v.limits.Replicas, status.AvailableReplicas)
	if f := v.blocking(); f != nil {
		line += fmt.Sprintf(", waiting for %s (%s)", f.Pod.Name, f.Problem())
	} else if awaited := v.awaited(); len(awaited) > 0 && int(status.Replicas) < v.limits.Replicas {
		line += fmt.Sprintf(", waiting for the volumes of %s, which is about to go", awaited[0].Pod.Name)
	}
	return line
}

// blocking is a Pod that does not serve: one at the update revision before the others.
func (v *view) blocking() *pods.Facts {
	var found *pods.Facts
	for _, f := range v.active {
		if f.IsReady() {
			continue
		}
		if v.isUpdated(f) {
			return f
		}
		if found == nil {
			found = f
		}
	}
	return found
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

// set writes a condition, and keeps the times of one that says the same already. Conditions are kept in the order of their names, so that
// equal statuses are equal bytes.
func (v *view) set(status *kruisev1beta1.CloneSetStatus, c kruisev1beta1.CloneSetCondition) {
	now := metav1.NewTime(v.Now)
	c.LastUpdateTime, c.LastTransitionTime = now, now
	old := conditionOf(status, c.Type)
	if old == nil {
		status.Conditions = append(status.Conditions, c)
		slices.SortFunc(status.Conditions, func(a, b kruisev1beta1.CloneSetCondition) int {
			return strings.Compare(string(a.Type), string(b.Type))
		})
		return
	}
	if old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
		if old.Reason == c.Reason && old.Message == c.Message {
			c.LastUpdateTime = old.LastUpdateTime
		}
	}
	*old = c
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
