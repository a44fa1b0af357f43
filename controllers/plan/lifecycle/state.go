// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/pods"
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

// AfterUpdate is the state of a Pod whose update in place is complete.
func (h Hooks) AfterUpdate(f *pods.Facts) pub.LifecycleStateType {
	if hook := h.InPlaceUpdate(); hook != nil && !IsAllHooked(hook, f.Pod) {
		return pub.LifecycleStateUpdated
	}
	return pub.LifecycleStateNormal
}

// Next is the state that a Pod moves to on its own; empty when it stays. isUpdated says that the Pod is at the wanted revision. The end of
// an update (Updating) is not decided here: it depends on the containers.
func (h Hooks) Next(f *pods.Facts, isUpdated bool) pub.LifecycleStateType {
	switch f.State {
	case pub.LifecycleStatePreparingNormal:
		if hook := h.PreNormal(); (hook == nil && f.Scheduled) || IsAllHooked(hook, f.Pod) {
			return pub.LifecycleStateNormal
		}
	case pub.LifecycleStatePreparingUpdate:
		if isUpdated {
			return h.AfterUpdate(f)
		}
	case pub.LifecycleStateUpdated:
		return onlyIf(h.AfterUpdate(f), pub.LifecycleStateNormal)
	}
	return ""
}

func onlyIf(state, wanted pub.LifecycleStateType) pub.LifecycleStateType {
	if state == wanted {
		return state
	}
	return ""
}

// Mark is the metadata that puts a Pod into a state.
func Mark(state pub.LifecycleStateType, now time.Time) (labels, annotations map[string]string) {
	return map[string]string{pub.LifecycleStateKey: string(state)},
		map[string]string{pub.LifecycleTimestampKey: now.UTC().Format(time.RFC3339)}
}
