// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/lifecycle"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/readiness"
)

func TestHooks(t *testing.T) {
	hook := &pub.LifecycleHook{LabelsHandler: map[string]string{"drain": "no"}, FinalizersHandler: []string{"example.com/drain"}}
	for name, tc := range map[string]struct {
		hook          *pub.LifecycleHook
		labels        map[string]string
		finalizers    []string
		wantHooked    bool
		wantAllHooked bool
	}{
		"no hook hooks nothing":                {labels: map[string]string{"drain": "no"}},
		"nothing on the Pod":                   {hook: hook},
		"a label with another value":           {hook: hook, labels: map[string]string{"drain": "yes"}},
		"a label is enough to hook":            {hook: hook, labels: map[string]string{"drain": "no"}, wantHooked: true},
		"a finalizer is enough to hook":        {hook: hook, finalizers: []string{"example.com/drain"}, wantHooked: true},
		"both together hook wholly":            {hook: hook, labels: map[string]string{"drain": "no"}, finalizers: []string{"example.com/drain"}, wantHooked: true, wantAllHooked: true},
		"an empty hook is set and blocks none": {hook: &pub.LifecycleHook{}, wantAllHooked: true},
	} {
		t.Run(name, func(t *testing.T) {
			object := &metav1.ObjectMeta{Labels: tc.labels, Finalizers: tc.finalizers}
			assert.Equal(t, tc.wantHooked, lifecycle.IsHooked(tc.hook, object))
			assert.Equal(t, tc.wantAllHooked, lifecycle.IsAllHooked(tc.hook, object))
		})
	}
}

func TestNext(t *testing.T) {
	hook := &pub.LifecycleHook{LabelsHandler: map[string]string{"hook": "on"}}
	for name, tc := range map[string]struct {
		lifecycle *pub.Lifecycle
		state     pub.LifecycleStateType
		hooked    bool
		pending   bool
		want      pub.LifecycleStateType
		wantWaits string
	}{
		"a new Pod waits for its node":                   {state: pub.LifecycleStatePreparingNormal, pending: true},
		"a new Pod with a node becomes Normal":           {state: pub.LifecycleStatePreparingNormal, want: pub.LifecycleStateNormal},
		"a preNormal hook is waited for":                 {lifecycle: &pub.Lifecycle{PreNormal: hook}, state: pub.LifecycleStatePreparingNormal, wantWaits: "preNormal hook: label hook=on is not set"},
		"a preNormal hook that is set lets it be Normal": {lifecycle: &pub.Lifecycle{PreNormal: hook}, state: pub.LifecycleStatePreparingNormal, hooked: true, want: pub.LifecycleStateNormal},
		"Normal stays": {state: pub.LifecycleStateNormal},
		"PreparingUpdate does not move on its own":        {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStatePreparingUpdate},
		"PreparingUpdate waits while the hook is set":     {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStatePreparingUpdate, hooked: true, wantWaits: "inPlaceUpdate hook: label hook=on is set"},
		"Updated waits until the hook is set again":       {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStateUpdated, wantWaits: "inPlaceUpdate hook: label hook=on is not set"},
		"Updated becomes Normal with the hook":            {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStateUpdated, hooked: true, want: pub.LifecycleStateNormal},
		"Updated becomes Normal when the hook is dropped": {state: pub.LifecycleStateUpdated, want: pub.LifecycleStateNormal},
		"PreparingDelete does not move on its own":        {lifecycle: &pub.Lifecycle{PreDelete: hook}, state: pub.LifecycleStatePreparingDelete, hooked: true, wantWaits: "preDelete hook: label hook=on is set"},
		"PreparingDelete without a hook waits for none":   {state: pub.LifecycleStatePreparingDelete},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{pub.LifecycleStateKey: string(tc.state)}}}
			if tc.hooked {
				pod.Labels["hook"] = "on"
			}
			if !tc.pending {
				pod.Spec.NodeName = "node"
			}
			hooks := lifecycle.Hooks{Lifecycle: tc.lifecycle}
			assert.Equal(t, tc.want, hooks.Next(pods.Read(pod)))
			assert.Equal(t, tc.wantWaits, hooks.Waits(pods.Read(pod)))
		})
	}
}

func TestWaitsNamesFinalizersFirst(t *testing.T) {
	hook := &pub.LifecycleHook{LabelsHandler: map[string]string{"b": "1", "a": "1"}, FinalizersHandler: []string{"example.com/x", "example.com/y"}}
	hooks := lifecycle.Hooks{Lifecycle: &pub.Lifecycle{PreDelete: hook, PreNormal: hook}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{pub.LifecycleStateKey: "PreparingDelete", "a": "1", "b": "1"}, Finalizers: []string{"example.com/y"},
	}}
	assert.Equal(t, "preDelete hook: finalizer example.com/y is set", hooks.Waits(pods.Read(pod)))
	pod.Finalizers = nil
	assert.Equal(t, "preDelete hook: label a=1 is set", hooks.Waits(pods.Read(pod)))
	pod.Labels[pub.LifecycleStateKey] = "PreparingNormal"
	assert.Equal(t, "preNormal hook: finalizer example.com/x is not set", hooks.Waits(pods.Read(pod)))
}

func TestReadiness(t *testing.T) {
	const forDelete, forUpdate, others = "preDeleteHook", "preUpdateHook", "default/restart"
	for name, tc := range map[string]struct {
		state    pub.LifecycleStateType
		held     []string
		unmarked bool
		want     []string
	}{
		"a Pod whose deletion is prepared is held":              {state: pub.LifecycleStatePreparingDelete, want: []string{forDelete}},
		"a Pod whose update is prepared is held":                {state: pub.LifecycleStatePreparingUpdate, want: []string{forUpdate}},
		"an update does not let go before its end":              {state: pub.LifecycleStateUpdating, held: []string{forUpdate}, want: []string{forUpdate}},
		"an update does not begin to hold":                      {state: pub.LifecycleStateUpdating},
		"an updated Pod is let go":                              {state: pub.LifecycleStateUpdated, held: []string{forUpdate}},
		"a Pod that goes back to Normal is let go":              {state: pub.LifecycleStateNormal, held: []string{forUpdate, forDelete}},
		"a Pod that is needed again is let go":                  {state: pub.LifecycleStatePreparingNormal, held: []string{forDelete}},
		"the deletion takes over from the update":               {state: pub.LifecycleStatePreparingDelete, held: []string{forUpdate}, want: []string{forDelete}},
		"hooks that do not mark hold nothing":                   {state: pub.LifecycleStatePreparingDelete, unmarked: true},
		"hooks that do not mark any more let go":                {state: pub.LifecycleStatePreparingUpdate, held: []string{forUpdate}, unmarked: true},
		"the key of another writer is kept when a hook lets go": {state: pub.LifecycleStateNormal, held: []string{forUpdate, others}, want: []string{others}},
	} {
		t.Run(name, func(t *testing.T) {
			key := func(name string) readiness.Key {
				if name == others {
					return readiness.Key{UserAgent: "ContainerRecreateRequest", Name: name}
				}
				return readiness.Key{UserAgent: "Lifecycle", Name: name}
			}
			hook := &pub.LifecycleHook{MarkPodNotReady: !tc.unmarked}
			hooks := lifecycle.Hooks{Lifecycle: &pub.Lifecycle{PreDelete: hook, InPlaceUpdate: hook}}
			state, want := readiness.State{HasGate: true}, readiness.State{HasGate: true}
			for _, name := range tc.held {
				state = state.Hold(key(name))
			}
			for _, name := range tc.want {
				want = want.Hold(key(name))
			}
			assert.ElementsMatch(t, want.Keys, hooks.Readiness(state, tc.state).Keys)
			assert.Equal(t, !tc.unmarked, hooks.MarksNotReady())
			assert.Empty(t, lifecycle.Hooks{}.Readiness(state, tc.state).Release(key(others)).Release(heldIn(tc.state, key)).Keys, "no hooks hold nothing")
		})
	}
}

// heldIn is the key that a state keeps whatever the hooks say.
func heldIn(state pub.LifecycleStateType, key func(string) readiness.Key) readiness.Key {
	if state == pub.LifecycleStateUpdating {
		return key("preUpdateHook")
	}
	return readiness.Key{}
}
