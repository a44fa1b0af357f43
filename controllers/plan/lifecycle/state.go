// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/readiness"
)

// IsHooked says that any of the hook's labels or finalizers is on the object. No hook hooks nothing.
func IsHooked(hook *pub.LifecycleHook, object metav1.Object) bool {
	if hook == nil {
		return false
	}
	for _, finalizer := range hook.FinalizersHandler {
		if slices.Contains(object.GetFinalizers(), finalizer) {
			return true
		}
	}
	for key, value := range hook.LabelsHandler {
		if actual, found := object.GetLabels()[key]; found && actual == value {
			return true
		}
	}
	return false
}

// IsAllHooked says that all of the hook's labels and finalizers are on the object. No hook is never all hooked.
func IsAllHooked(hook *pub.LifecycleHook, object metav1.Object) bool {
	if hook == nil {
		return false
	}
	for _, finalizer := range hook.FinalizersHandler {
		if !slices.Contains(object.GetFinalizers(), finalizer) {
			return false
		}
	}
	for key, value := range hook.LabelsHandler {
		if actual, found := object.GetLabels()[key]; !found || actual != value {
			return false
		}
	}
	return true
}

// Hooks is a workload's lifecycle; nil hooks block nothing.
type Hooks struct{ *pub.Lifecycle }

// PreDelete is the hook that blocks deletion, or nil.
func (h Hooks) PreDelete() *pub.LifecycleHook {
	if h.Lifecycle == nil {
		return nil
	}
	return h.Lifecycle.PreDelete
}

// InPlaceUpdate is the hook that blocks an update in place, or nil.
func (h Hooks) InPlaceUpdate() *pub.LifecycleHook {
	if h.Lifecycle == nil {
		return nil
	}
	return h.Lifecycle.InPlaceUpdate
}

// PreNormal is the hook that blocks becoming Normal, or nil.
func (h Hooks) PreNormal() *pub.LifecycleHook {
	if h.Lifecycle == nil {
		return nil
	}
	return h.Lifecycle.PreNormal
}

// BlocksDelete says that the Pod must wait in PreparingDelete.
func (h Hooks) BlocksDelete(f *pods.Facts) bool { return IsHooked(h.PreDelete(), f.Pod) }

// BlocksUpdate says that the Pod must wait in PreparingUpdate.
func (h Hooks) BlocksUpdate(f *pods.Facts) bool { return IsHooked(h.InPlaceUpdate(), f.Pod) }

// AfterUpdate is the state of a Pod whose update in place is complete, or is not wanted any more.
func (h Hooks) AfterUpdate(f *pods.Facts) pub.LifecycleStateType {
	if hook := h.InPlaceUpdate(); hook != nil && !IsAllHooked(hook, f.Pod) {
		return pub.LifecycleStateUpdated
	}
	return pub.LifecycleStateNormal
}

// Next is the state that a Pod moves to on its own; empty when it stays. The ends of PreparingUpdate and Updating are not decided here: one
// depends on which updates are due, the other on the containers.
func (h Hooks) Next(f *pods.Facts) pub.LifecycleStateType {
	switch f.State {
	case pub.LifecycleStatePreparingNormal:
		if hook := h.PreNormal(); (hook == nil && f.Scheduled) || IsAllHooked(hook, f.Pod) {
			return pub.LifecycleStateNormal
		}
	case pub.LifecycleStateUpdated:
		if h.AfterUpdate(f) == pub.LifecycleStateNormal {
			return pub.LifecycleStateNormal
		}
	}
	return ""
}

// MarksNotReady says that any of the hooks marks its Pods not ready.
func (h Hooks) MarksNotReady() bool { return marks(h.PreDelete()) || marks(h.InPlaceUpdate()) }

func marks(hook *pub.LifecycleHook) bool { return hook != nil && hook.MarkPodNotReady }

// Readiness is how a Pod is held not ready in a state of its life: by the preDelete hook while its deletion is prepared, by the inPlaceUpdate hook
// from the preparation of an update to its end, where these hooks ask for it. The keys of others are left alone.
func (h Hooks) Readiness(s readiness.State, state pub.LifecycleStateType) readiness.State {
	forDelete, forUpdate := deleteKey(), updateKey()
	if state == pub.LifecycleStatePreparingDelete && marks(h.PreDelete()) {
		s = s.Hold(forDelete)
	} else {
		s = s.Release(forDelete)
	}
	switch {
	case state == pub.LifecycleStatePreparingUpdate && marks(h.InPlaceUpdate()):
		return s.Hold(forUpdate)
	case state == pub.LifecycleStateUpdating:
		// An update holds the Pod by a condition of its own, and ends both in one write.
		return s
	default:
		return s.Release(forUpdate)
	}
}

// Released is the state of a Pod that no hook holds.
func Released(s readiness.State) readiness.State { return s.Release(deleteKey()).Release(updateKey()) }

// COMPAT: both keys are published.
func deleteKey() readiness.Key { return readiness.Key{UserAgent: "Lifecycle", Name: "preDeleteHook"} }
func updateKey() readiness.Key { return readiness.Key{UserAgent: "Lifecycle", Name: "preUpdateHook"} }
