// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/readiness"
)

// Facts is the value view of one Pod: what decisions ask of it, parsed once per resourceVersion.
type Facts struct {
	// Pod is the object as observed. It is shared with the cache: never write to it.
	Pod *corev1.Pod
	// Revision is the value of the label controller-revision-hash, in its full or its short form.
	Revision string
	// State is the lifecycle state; empty counts as Normal.
	State pub.LifecycleStateType
	// SpecifiedDelete says that the Pod carries the label apps.kruise.io/specified-delete.
	SpecifiedDelete bool
	// Terminating says that the Pod has been deleted and is about to go.
	Terminating bool
	// Ended says that the Pod's phase is Succeeded or Failed.
	Ended bool
	// Scheduled says that the Pod has a node.
	Scheduled bool
	// Running says that the Pod's phase is Running.
	Running bool
	// Ready says that the condition Ready is True.
	Ready bool
	// ReadySince is when Ready became True; zero when it is not.
	ReadySince time.Time
	// DeletionCost is the value of controller.kubernetes.io/pod-deletion-cost; zero when absent or not a number.
	DeletionCost int32
	// Restarts is the greatest restart count of the Pod's containers.
	Restarts int32
	// HasInPlaceGate says that the Pod has the readiness gate InPlaceUpdateReady.
	HasInPlaceGate bool
	// InPlaceReady is the status of the condition InPlaceUpdateReady; empty when the Pod has none.
	InPlaceReady corev1.ConditionStatus
	// Readiness is the condition KruisePodReady, by which several writers hold the Pod not ready.
	Readiness readiness.State
	// InPlace is the parsed annotation of the running or last update in place; nil when there is none, or it is broken.
	InPlace *pub.InPlaceUpdateState
	// Grace is the raw annotation that holds an update back until its grace period has passed.
	Grace string
	// Broken lists the annotations of ours on this Pod that cannot be read, with why. They are reported once and removed.
	Broken []BrokenAnnotation

	// completion is what Completion was told.
	completion *plan.Verdict
}

// Completion is what judge says of these Facts: whether the update in place that is on the Pod has been made. It must derive that from nothing else, and
// so is asked only once: Facts never change. Facts are for one plan at a time, so nothing is locked.
func (f *Facts) Completion(judge func(*Facts) plan.Verdict) plan.Verdict {
	if f.completion == nil {
		verdict := judge(f)
		f.completion = &verdict
	}
	return *f.completion
}

// BrokenAnnotation is an annotation of ours that cannot be read.
type BrokenAnnotation struct {
	Key     string
	Problem string
}
