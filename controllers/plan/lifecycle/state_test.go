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
		updated   bool
		want      pub.LifecycleStateType
	}{
		"a new Pod waits for its node":                   {state: pub.LifecycleStatePreparingNormal, pending: true},
		"a new Pod with a node becomes Normal":           {state: pub.LifecycleStatePreparingNormal, want: pub.LifecycleStateNormal},
		"a preNormal hook is waited for":                 {lifecycle: &pub.Lifecycle{PreNormal: hook}, state: pub.LifecycleStatePreparingNormal},
		"a preNormal hook that is set lets it be Normal": {lifecycle: &pub.Lifecycle{PreNormal: hook}, state: pub.LifecycleStatePreparingNormal, hooked: true, want: pub.LifecycleStateNormal},
		"Normal stays": {state: pub.LifecycleStateNormal},
		"PreparingUpdate stays while an update is due":    {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStatePreparingUpdate},
		"PreparingUpdate ends when the user rolled back":  {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStatePreparingUpdate, hooked: true, updated: true, want: pub.LifecycleStateNormal},
		"Updated waits until the hook is set again":       {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStateUpdated},
		"Updated becomes Normal with the hook":            {lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}, state: pub.LifecycleStateUpdated, hooked: true, want: pub.LifecycleStateNormal},
		"Updated becomes Normal when the hook is dropped": {state: pub.LifecycleStateUpdated, want: pub.LifecycleStateNormal},
		"PreparingDelete does not move on its own":        {state: pub.LifecycleStatePreparingDelete},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{pub.LifecycleStateKey: string(tc.state)}}}
			if tc.hooked {
				pod.Labels["hook"] = "on"
			}
			if !tc.pending {
				pod.Spec.NodeName = "node"
			}
			assert.Equal(t, tc.want, lifecycle.Hooks{Lifecycle: tc.lifecycle}.Next(pods.Read(pod), tc.updated))
		})
	}
}
