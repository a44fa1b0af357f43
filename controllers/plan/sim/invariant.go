// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
)

// Names of the invariants; a story that breaks one on purpose declares it by this name.
const (
	// AvailableFloor is about the Pods that serve.
	AvailableFloor = "AvailableFloor"
	// SurgeCeiling is about the number of Pods.
	SurgeCeiling = "SurgeCeiling"
	// SurplusOnly is about the Pods that are deleted.
	SurplusOnly = "SurplusOnly"
	// PartitionKept is about the Pods at the old revision.
	PartitionKept = "PartitionKept"
	// HooksRespected is about Pods that their users hold.
	HooksRespected = "HooksRespected"
	// OneChangeAtOnce is about updates in place that overlap.
	OneChangeAtOnce = "OneChangeAtOnce"
	// DrainedFirst is about Pods that are changed in place while they serve.
	DrainedFirst = "DrainedFirst"
	// ReadyWhenFollowed is about Pods that serve something else than they say.
	ReadyWhenFollowed = "ReadyWhenFollowed"
	// VolumesFirst is about Pods that wait for claims that nobody makes.
	VolumesFirst = "VolumesFirst"
	// VolumesKept is about data that is lost.
	VolumesKept = "VolumesKept"
	// VolumesFresh is about data that comes back.
	VolumesFresh = "VolumesFresh"
	// DoneWhenResized is about Pods that are done before they have their resources.
	DoneWhenResized = "DoneWhenResized"
	// InLaunchOrder is about containers that change before those that launch before them.
	InLaunchOrder = "InLaunchOrder"
	// NoIdleWrite is about writes for nothing.
	NoIdleWrite = "NoIdleWrite"
	// OneActionPerPod is about decisions that contradict themselves.
	OneActionPerPod = "OneActionPerPod"
	// PlanIsPure is about plans that depend on something else than their input.
	PlanIsPure = "PlanIsPure"
	// RestIsEmpty is about a world in which all is done.
	RestIsEmpty = "RestIsEmpty"
	// NoLivelock is about controllers that never come to rest.
	NoLivelock = "NoLivelock"
)

// Invariant is something that no write of the controllers may break.
type Invariant struct {
	Name string
	// Check says what is wrong with a write; empty when nothing is.
	Check func(w *World, p Promise, write Write) string
}

// Invariants are all that are checked after every write. What kubelets and users do is no breach: a write is judged by what it made of the world
// that it met.
func Invariants() []Invariant {
	return []Invariant{
		{AvailableFloor, checkAvailableFloor},
		{SurgeCeiling, checkSurgeCeiling},
		{SurplusOnly, checkSurplusOnly},
		{PartitionKept, checkPartitionKept},
		{HooksRespected, checkHooksRespected},
		{OneChangeAtOnce, checkOneChangeAtOnce},
		{DrainedFirst, checkDrainedFirst},
		{ReadyWhenFollowed, checkReadyWhenFollowed},
		{VolumesFirst, checkVolumesFirst},
		{VolumesKept, checkVolumesKept},
		{VolumesFresh, checkVolumesFresh},
		{DoneWhenResized, checkDoneWhenResized},
		{InLaunchOrder, checkInLaunchOrder},
		{NoIdleWrite, checkNoIdleWrite},
	}
}

// INVARIANT: what this package does never lets the available Pods fall below replicas - maxUnavailable. Where they are below for another
// reason, it takes none of those that are left.
func checkAvailableFloor(w *World, p Promise, write Write) string {
	before, after := p.Tally(write.Before, w.Now), p.Tally(write.After, w.Now)
	floor := p.Replicas - p.MaxUnavailable
	if after.Available < before.Available && after.Available < floor {
		return fmt.Sprintf("%s %s: available Pods %d -> %d, but there must be %d - %d",
			write.Action.Verb, write.Action.Object.GetName(), before.Available, after.Available, p.Replicas, p.MaxUnavailable)
	}
	return ""
}

// INVARIANT: what this package does never lets the Pods exceed replicas + maxSurge.
func checkSurgeCeiling(_ *World, p Promise, write Write) string {
	before, after := p.counted(write.Before), p.counted(write.After)
	if after > before && write.Action.Verb == plan.Create && after > p.Replicas+p.MaxSurge {
		return fmt.Sprintf("creating %s: Pods %d -> %d, but there may be %d + %d",
			write.Action.Object.GetName(), before, after, p.Replicas, p.MaxSurge)
	}
	return ""
}

// INVARIANT: a Pod that nobody named is deleted only when more Pods stay than are wanted.
func checkSurplusOnly(_ *World, p Promise, write Write) string {
	if write.Old == nil || !p.stays(write.Old) || write.New != nil && (p.stays(write.New) || p.isNamed(write.New)) {
		return ""
	}
	if after := p.staying(write.After); after < p.Replicas {
		return fmt.Sprintf("%s %s: %d Pods stay, but %d are wanted", write.Action.Verb, write.Old.Name, after, p.Replicas)
	}
	return ""
}

// INVARIANT: it never brings more Pods to the update revision than the partition lets it. Those created beyond the replicas come on top.
func checkPartitionKept(w *World, p Promise, write Write) string {
	before, after := p.Tally(write.Before, w.Now), p.Tally(write.After, w.Now)
	if p.CurrentRevision == p.UpdateRevision || after.Updated <= before.Updated {
		return ""
	}
	name, old, limit := write.Action.Object.GetName(), after.Active-after.Updated, p.Replicas-p.Partition+p.MaxSurge
	switch {
	case write.Action.Verb == plan.Patch && old < p.Partition:
		return fmt.Sprintf("updating %s: %d old Pods are left, but the partition is %d", name, old, p.Partition)
	case write.Action.Verb == plan.Create && after.Updated > limit:
		return fmt.Sprintf("creating %s: %d Pods are updated, but the partition of %d lets there be %d", name, after.Updated, p.Partition, limit)
	default:
		return ""
	}
}

// INVARIANT: a Pod whose hook blocks is neither updated nor deleted.
func checkHooksRespected(_ *World, p Promise, write Write) string {
	if p.Lifecycle == nil || write.Old == nil {
		return ""
	}
	name := write.Old.Name
	if write.Action.Verb == plan.Delete && isHooked(p.Lifecycle.PreDelete, write.Old) {
		return "deleting " + name + ", which its preDelete hook holds"
	}
	if write.New != nil && isHooked(p.Lifecycle.InPlaceUpdate, write.Old) && revisionOf(write.Old) != revisionOf(write.New) {
		return "updating " + name + ", which its inPlaceUpdate hook holds"
	}
	return ""
}

// INVARIANT: never two in-place changes on one Pod at once. An update that waits for its grace period is not overtaken, and one that runs is
// only replaced as a whole: images, revision and state together.
func checkOneChangeAtOnce(_ *World, _ Promise, write Write) string {
	if write.Old == nil || write.New == nil || write.Action.Verb != plan.Patch {
		return ""
	}
	isHeld := write.Old.Annotations[pub.InPlaceUpdateGraceKey] != ""
	if isHeld && revisionOf(write.Old) != revisionOf(write.New) {
		return fmt.Sprintf("%s gets another revision while an update of it is held back", write.Old.Name)
	}
	return ""
}

// INVARIANT: no write changes nothing.
func checkNoIdleWrite(_ *World, _ Promise, write Write) string {
	if write.Action.Verb == plan.Patch && write.Old != nil && write.Old == write.New {
		return "a patch of " + write.Old.Name + " changes nothing"
	}
	return ""
}

// INVARIANT: a decision has one action for each Pod.
func checkOneActionPerPod(d plan.Decision) string {
	seen := map[string]bool{}
	for _, a := range d.Actions {
		if _, isPod := a.Object.(*corev1.Pod); isPod && seen[a.Object.GetName()] {
			return "two actions for " + a.Object.GetName()
		}
		seen[a.Object.GetName()] = true
	}
	return ""
}

func revisionOf(pod *corev1.Pod) string { return pod.Labels[appsv1.ControllerRevisionHashLabelKey] }

func hasGate(pod *corev1.Pod) bool {
	for _, gate := range pod.Spec.ReadinessGates {
		if gate.ConditionType == pub.InPlaceUpdateReady {
			return true
		}
	}
	return false
}
