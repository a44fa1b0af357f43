// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pub

// LifecycleStateType is where a Pod stands in the life that its workload leads it through; the value of the label
// LifecycleStateKey. The empty state is treated as Normal.
type LifecycleStateType string

const (
	// LifecycleStateKey is the Pod label that carries the lifecycle state.
	LifecycleStateKey = "lifecycle.apps.kruise.io/state"
	// LifecycleTimestampKey is the Pod annotation that carries the time of the last change of state, in RFC 3339.
	LifecycleTimestampKey = "lifecycle.apps.kruise.io/timestamp"

	// LifecycleStatePreparingNormal is a new Pod whose preNormal hook has not been set by its owner yet.
	LifecycleStatePreparingNormal LifecycleStateType = "PreparingNormal"
	// LifecycleStateNormal is a Pod that may count as available.
	LifecycleStateNormal LifecycleStateType = "Normal"
	// LifecycleStatePreparingUpdate is a Pod whose inPlaceUpdate hook must be released before its update.
	LifecycleStatePreparingUpdate LifecycleStateType = "PreparingUpdate"
	// LifecycleStateUpdating is a Pod that is being updated in place.
	LifecycleStateUpdating LifecycleStateType = "Updating"
	// LifecycleStateUpdated is an updated Pod whose inPlaceUpdate hook has not been set again yet.
	LifecycleStateUpdated LifecycleStateType = "Updated"
	// LifecycleStatePreparingDelete is a Pod whose preDelete hook must be released before its deletion.
	LifecycleStatePreparingDelete LifecycleStateType = "PreparingDelete"
)

// Lifecycle lets the user take part in what happens to a Pod: each hook blocks a step until it is released.
type Lifecycle struct {
	// PreDelete is the hook that blocks the deletion of a Pod.
	// +optional
	PreDelete *LifecycleHook `json:"preDelete,omitempty"`
	// InPlaceUpdate is the hook that blocks an update in place, and that must be set again after it.
	// +optional
	InPlaceUpdate *LifecycleHook `json:"inPlaceUpdate,omitempty"`
	// PreNormal is the hook that must be set before a new Pod counts as available.
	// +optional
	PreNormal *LifecycleHook `json:"preNormal,omitempty"`
}

// LifecycleHook names the labels and finalizers by which a Pod is hooked. A Pod is hooked when any of them is present, and
// all-hooked when all of them are.
type LifecycleHook struct {
	// LabelsHandler are label keys with the values by which they hook.
	// +optional
	LabelsHandler map[string]string `json:"labelsHandler,omitempty"`
	// FinalizersHandler are finalizers that hook.
	// +optional
	// +listType=atomic
	FinalizersHandler []string `json:"finalizersHandler,omitempty"`
	// MarkPodNotReady makes the Pod not ready while it waits for this hook. It has effect on preDelete and inPlaceUpdate.
	// +optional
	MarkPodNotReady bool `json:"markPodNotReady,omitempty"`
}
