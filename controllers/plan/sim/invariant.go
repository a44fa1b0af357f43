// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/readiness"
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
	// MarkedWhileHeld is about hooks that mark their Pods not ready.
	MarkedWhileHeld = "MarkedWhileHeld"
	// KeysOfOthersKept is about those who hold a Pod not ready together.
	KeysOfOthersKept = "KeysOfOthersKept"
	// NoIdleWrite is about writes for nothing.
	NoIdleWrite = "NoIdleWrite"
	// OneActionPerPod is about decisions that contradict themselves.
	OneActionPerPod = "OneActionPerPod"
	// PlanIsPure is about plans that depend on something else than their input.
	PlanIsPure = "PlanIsPure"
	// RestIsEmpty is about a world in which all is done.
	RestIsEmpty = "RestIsEmpty"
	// TemplateKept is about Pods that are not what their revision says.
	TemplateKept = "TemplateKept"
	// NoLostWake is about work that nobody comes back to.
	NoLostWake = "NoLostWake"
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
		{MarkedWhileHeld, checkMarkedWhileHeld},
		{KeysOfOthersKept, checkKeysOfOthersKept},
		{NoIdleWrite, checkNoIdleWrite},
		{TemplateKept, checkTemplateKept},
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
	before, after := len(p.counted(write.Before)), len(p.counted(write.After))
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
	before, after := p.Tally(p.counted(write.Before), w.Now), p.Tally(p.counted(write.After), w.Now)
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

// INVARIANT: a Pod whose hook blocks is neither updated nor deleted. One that is being updated has been let go by its hook, and may be led on to
// another revision.
func checkHooksRespected(_ *World, p Promise, write Write) string {
	if p.Lifecycle == nil || write.Old == nil {
		return ""
	}
	name := write.Old.Name
	if write.Action.Verb == plan.Delete && isHooked(p.Lifecycle.PreDelete, write.Old) {
		return "deleting " + name + ", which its preDelete hook holds"
	}
	isUnderWay := stateOf(write.Old) == pub.LifecycleStateUpdating
	if write.New != nil && !isUnderWay && isHooked(p.Lifecycle.InPlaceUpdate, write.Old) && revisionOf(write.Old) != revisionOf(write.New) {
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

// INVARIANT: a Pod that waits for a hook which marks its Pods not ready is held not ready from the first moment.
func checkMarkedWhileHeld(_ *World, p Promise, write Write) string {
	if write.Old == nil || write.New == nil || stateOf(write.Old) == stateOf(write.New) {
		return ""
	}
	key, held := p.mark(stateOf(write.New)), readiness.Read(write.New)
	if key == "" || !held.HasGate || held.IsForeign || held.Holds(readiness.Key{UserAgent: "Lifecycle", Name: key}) {
		return ""
	}
	return fmt.Sprintf("%s becomes %s and is not held not ready", write.New.Name, stateOf(write.New))
}

// INVARIANT: what the controllers write to the condition KruisePodReady keeps the keys of all other writers.
func checkKeysOfOthersKept(_ *World, _ Promise, write Write) string {
	if write.Old == nil || write.New == nil {
		return ""
	}
	before, after := readiness.Read(write.Old), readiness.Read(write.New)
	for _, key := range before.Keys {
		if key.UserAgent != "Lifecycle" && !after.Holds(key) {
			return fmt.Sprintf("%s is not held by %s %s any more", write.New.Name, key.UserAgent, key.Name)
		}
	}
	if before.IsForeign && !after.IsForeign {
		return fmt.Sprintf("%s was held by a message that is no list, and is not any more", write.New.Name)
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

func stateOf(pod *corev1.Pod) pub.LifecycleStateType {
	return pub.LifecycleStateType(pod.Labels[pub.LifecycleStateKey])
}

func hasGate(pod *corev1.Pod, kind corev1.PodConditionType) bool {
	return slices.Contains(pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: kind})
}
