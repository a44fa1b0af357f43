// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
)

// spec.progressDeadlineSeconds is measured twice. The published condition Progressing measures from the moment at which work began, whatever comes of it, and
// ends only when the work does. Ready, Reconciling and Stalled measure from the last Pod that got on, and begin anew with each change of the spec.
//
//	            image v2          1 of 3        image v3        all updated
//	               |----------------|--------------|----------------|
//	Progressing    begins           .              .                ends
//	Stalled        begins           begins anew    begins anew      ends
//
// The first is remembered in the times of Progressing, as published, the second in lastUpdateTime of Reconciling.

// deadline is how long the set may take, and whether there is any limit.
func (v *view) deadline() (deadline time.Duration, isSet bool) {
	seconds := v.Set.Spec.ProgressDeadlineSeconds
	// COMPAT: the largest number means no deadline.
	if seconds == nil || *seconds == math.MaxInt32 {
		return 0, false
	}
	return time.Duration(*seconds) * time.Second, true
}

// tellProgress sets the condition Progressing, or removes it where there is no deadline.
// COMPAT: reasons, their order, messages and times are published.
func (v *view) tellProgress(status *kruisev1beta1.CloneSetStatus) {
	deadline, isSet := v.deadline()
	if !isSet {
		removeCondition(status, kruisev1beta1.CloneSetConditionProgressing)
		return
	}
	c := v.progress(status, deadline)
	told := conditionOf(status, c.Type)
	if told != nil && told.Status == c.Status && told.Reason == c.Reason {
		return
	}
	c.LastUpdateTime, c.LastTransitionTime = metav1.NewTime(v.Now), metav1.NewTime(v.Now)
	if told != nil && told.Status == c.Status {
		c.LastTransitionTime = told.LastTransitionTime
	}
	put(status, c)
}

// progress is the condition without its times: the first that holds wins.
func (v *view) progress(status *kruisev1beta1.CloneSetStatus, deadline time.Duration) kruisev1beta1.CloneSetCondition {
	c := kruisev1beta1.CloneSetCondition{Type: kruisev1beta1.CloneSetConditionProgressing, Status: corev1.ConditionTrue}
	switch {
	case v.isComplete(status):
		c.Reason, c.Message = kruisev1beta1.CloneSetAvailable, "CloneSet is available"
	case v.strategy.Paused:
		c.Reason, c.Message = kruisev1beta1.CloneSetProgressPaused, "CloneSet is paused"
	case int(status.ExpectedUpdatedReplicas) < v.limits.Replicas && status.UpdatedAvailableReplicas >= status.ExpectedUpdatedReplicas:
		c.Reason, c.Message = kruisev1beta1.CloneSetProgressPartitionAvailable, "CloneSet has been paused due to partition ready"
	case v.isExceeded(deadline):
		c.Status, c.Reason = corev1.ConditionFalse, kruisev1beta1.CloneSetProgressDeadlineExceeded
		c.Message = fmt.Sprintf("CloneSet revision %s has timed out progressing", status.UpdateRevision)
	default:
		c.Reason, c.Message = kruisev1beta1.CloneSetProgressUpdated, "CloneSet is progressing"
	}
	return c
}

// isExceeded reports whether the work that Progressing tells of has taken longer than the deadline. A set that has rested begins anew, however long it did.
func (v *view) isExceeded(deadline time.Duration) bool {
	told := conditionOf(&v.Set.Status, kruisev1beta1.CloneSetConditionProgressing)
	switch {
	case told == nil:
		return false
	case told.Reason == kruisev1beta1.CloneSetProgressUpdated:
		return told.LastUpdateTime.Add(deadline).Before(v.Now)
	default:
		return told.Reason == kruisev1beta1.CloneSetProgressDeadlineExceeded
	}
}

// isAtWork reports whether the set should get on by itself, so that it can be stalled. One that is complete or paused need not, nor one at its partition, nor
// one with OnDelete whose Pods all serve.
func (v *view) isAtWork(status *kruisev1beta1.CloneSetStatus) bool {
	isResting := v.isComplete(status) || v.strategy.Paused || v.isPartitionAvailable(status) || v.isOnDelete() && v.isServing(status)
	return !isResting
}

// isOverdue reports whether a set that is at work has not got on for as long as its deadline.
func (v *view) isOverdue(status *kruisev1beta1.CloneSetStatus) bool {
	deadline, isSet := v.deadline()
	return isSet && v.isAtWork(status) && !v.lastProgress(status).Add(deadline).After(v.Now)
}

// lastProgress is when a set that is at work got on: now, when it has just done so or begun.
func (v *view) lastProgress(status *kruisev1beta1.CloneSetStatus) time.Time {
	last := &v.Set.Status
	told := conditionOf(last, kruisev1beta1.CloneSetConditionReconciling)
	if told == nil || hasProgressed(last, status) || !v.isAtWork(last) {
		return v.Now
	}
	return told.LastUpdateTime.Time
}

// hasProgressed reports whether there is another spec, or a Pod more or less, or one more was updated or became available.
func hasProgressed(old, now *kruisev1beta1.CloneSetStatus) bool {
	return now.ObservedGeneration != old.ObservedGeneration || now.UpdateRevision != old.UpdateRevision ||
		now.Replicas != old.Replicas || now.UpdatedReplicas > old.UpdatedReplicas ||
		now.UpdatedAvailableReplicas > old.UpdatedAvailableReplicas || now.AvailableReplicas > old.AvailableReplicas
}

// awaitDeadlines plans again when a deadline passes.
func (v *view) awaitDeadlines(d *plan.Decision) {
	deadline, isSet := v.deadline()
	if !isSet {
		return
	}
	told := &v.Set.Status
	if c := conditionOf(told, kruisev1beta1.CloneSetConditionProgressing); c != nil && c.Reason == kruisev1beta1.CloneSetProgressUpdated {
		// COMPAT: a second later, because it must have passed.
		wakeBefore(d, c.LastUpdateTime.Add(deadline+time.Second).Sub(v.Now))
	}
	if c := conditionOf(told, kruisev1beta1.CloneSetConditionReconciling); c != nil && v.isAtWork(told) {
		wakeBefore(d, c.LastUpdateTime.Add(deadline).Sub(v.Now))
	}
}

// wakeBefore plans again when a deadline passes that has not passed yet.
func wakeBefore(d *plan.Decision, left time.Duration) {
	if left > 0 {
		d.WakeIn(left, "the deadline for progress passes")
	}
}
