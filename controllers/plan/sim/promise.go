// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
)

// Promise is what a workload's spec promises to its users at one moment. It is worked out apart from the code under test, so that both can be
// held against each other.
type Promise struct {
	Replicas, MaxUnavailable, MaxSurge, Partition int
	// UpdateRevision is the name of the wanted revision; CurrentRevision is the one before, or the same when there is none.
	UpdateRevision, CurrentRevision string
	MinReadySeconds                 int32
	Lifecycle                       *pub.Lifecycle
	// ExcludePreparingDelete leaves Pods that wait for their preDelete hook out of the count.
	ExcludePreparingDelete bool
	// ReuseVolumes says that a Pod may get the claims of one that is gone.
	ReuseVolumes bool
	// MayDiffer says that others write a label or annotation of this key to Pods, whatever their template says; nil when nobody does.
	MayDiffer func(key string) bool
	// IsNamed says that somebody asked for the deletion of this very Pod; nil when nobody can.
	IsNamed func(*corev1.Pod) bool
}

// stays says that a Pod counts, and that nothing has been begun or asked to delete it.
func (p Promise) stays(pod *corev1.Pod) bool {
	isLeaving := pub.LifecycleStateType(pod.Labels[pub.LifecycleStateKey]) == pub.LifecycleStatePreparingDelete
	return isActive(pod) && !isLeaving && !p.isNamed(pod)
}

func (p Promise) isNamed(pod *corev1.Pod) bool { return p.IsNamed != nil && p.IsNamed(pod) }

func (p Promise) staying(pods []*corev1.Pod) int {
	n := 0
	for _, pod := range pods {
		if p.stays(pod) {
			n++
		}
	}
	return n
}

// isActive says that a Pod counts.
func isActive(pod *corev1.Pod) bool { return pod.DeletionTimestamp == nil && !isEnded(pod) }

// isAvailable says that a Pod serves, as its users would judge.
func (p Promise) isAvailable(pod *corev1.Pod, now time.Time) bool {
	state := pub.LifecycleStateType(pod.Labels[pub.LifecycleStateKey])
	if !isActive(pod) || pod.Status.Phase != corev1.PodRunning || state != "" && state != pub.LifecycleStateNormal {
		return false
	}
	if s := statusOf(pod, pub.InPlaceUpdateReady); s != "" && s != corev1.ConditionTrue {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return !c.LastTransitionTime.Add(time.Duration(p.MinReadySeconds) * time.Second).After(now)
		}
	}
	return false
}

// isUpdated says that a Pod carries the wanted revision, in its full or its short form.
func (p Promise) isUpdated(pod *corev1.Pod) bool {
	label := pod.Labels[appsv1.ControllerRevisionHashLabelKey]
	return label != "" && (label == p.UpdateRevision || strings.HasSuffix(p.UpdateRevision, "-"+label))
}

// counted are the Pods that count against the replicas.
func (p Promise) counted(pods []*corev1.Pod) []*corev1.Pod {
	var counted []*corev1.Pod
	for _, pod := range pods {
		isPreparing := stateOf(pod) == pub.LifecycleStatePreparingDelete
		if isActive(pod) && (!isPreparing || !p.ExcludePreparingDelete) {
			counted = append(counted, pod)
		}
	}
	return counted
}

// Tally counts Pods.
type Tally struct {
	Active, Available, Updated, UpdatedAvailable int
}

// Tally counts Pods as their users would.
func (p Promise) Tally(pods []*corev1.Pod, now time.Time) Tally {
	var t Tally
	for _, pod := range pods {
		if !isActive(pod) {
			continue
		}
		t.Active++
		available, updated := p.isAvailable(pod, now), p.isUpdated(pod)
		if available {
			t.Available++
		}
		if updated {
			t.Updated++
		}
		if available && updated {
			t.UpdatedAvailable++
		}
	}
	return t
}

// mark is the key by which a Pod is to be held not ready in a state of its life; empty when no hook asks for that.
func (p Promise) mark(state pub.LifecycleStateType) string {
	if p.Lifecycle == nil {
		return ""
	}
	isMarked := func(hook *pub.LifecycleHook) bool { return hook != nil && hook.MarkPodNotReady }
	switch {
	case state == pub.LifecycleStatePreparingDelete && isMarked(p.Lifecycle.PreDelete):
		return "preDeleteHook"
	case state == pub.LifecycleStatePreparingUpdate && isMarked(p.Lifecycle.InPlaceUpdate):
		return "preUpdateHook"
	default:
		return ""
	}
}

// isHooked says that any of a hook's labels or finalizers is on a Pod.
func isHooked(hook *pub.LifecycleHook, object metav1.Object) bool {
	if hook == nil {
		return false
	}
	for key, value := range hook.LabelsHandler {
		if actual, found := object.GetLabels()[key]; found && actual == value {
			return true
		}
	}
	return slices.ContainsFunc(hook.FinalizersHandler, func(f string) bool { return slices.Contains(object.GetFinalizers(), f) })
}
