// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"maps"
	"slices"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// Waits is which hook a Pod waits for, and what of it has to change, in words for people; empty when it waits for none. For example
// "preDelete hook: label example.com/drain=no is set".
func (h Hooks) Waits(f *pods.Facts) string {
	switch f.State {
	case pub.LifecycleStatePreparingDelete:
		return waitsFor("preDelete", h.PreDelete(), f, true)
	case pub.LifecycleStatePreparingUpdate:
		return waitsFor("inPlaceUpdate", h.InPlaceUpdate(), f, true)
	case pub.LifecycleStateUpdated:
		return waitsFor("inPlaceUpdate", h.InPlaceUpdate(), f, false)
	case pub.LifecycleStatePreparingNormal:
		return waitsFor("preNormal", h.PreNormal(), f, false)
	default:
		return ""
	}
}

// waitsFor finds the first handler that is set where it must go, or is missing where it must be set.
func waitsFor(name string, hook *pub.LifecycleHook, f *pods.Facts, isSet bool) string {
	if hook == nil {
		return ""
	}
	problem := "is not set"
	if isSet {
		problem = "is set"
	}
	for _, finalizer := range hook.FinalizersHandler {
		if slices.Contains(f.Pod.Finalizers, finalizer) == isSet {
			return fmt.Sprintf("%s hook: finalizer %s %s", name, finalizer, problem)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(hook.LabelsHandler)) {
		if value, found := f.Pod.Labels[key]; (found && value == hook.LabelsHandler[key]) == isSet {
			return fmt.Sprintf("%s hook: label %s=%s %s", name, key, hook.LabelsHandler[key], problem)
		}
	}
	return ""
}
