// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/readiness"
)

var (
	hook    = readiness.Key{UserAgent: "Lifecycle", Name: "preDeleteHook"}
	another = readiness.Key{UserAgent: "ContainerRecreateRequest", Name: "default/restart"}
)

const (
	hookOnly = `[{"userAgent":"Lifecycle","key":"preDeleteHook"}]`
	both     = `[{"userAgent":"ContainerRecreateRequest","key":"default/restart"},{"userAgent":"Lifecycle","key":"preDeleteHook"}]`
	swapped  = `[{"userAgent":"Lifecycle","key":"preDeleteHook"},{"userAgent":"ContainerRecreateRequest","key":"default/restart"}]`
	theOther = `[{"userAgent":"ContainerRecreateRequest","key":"default/restart"}]`
)

func TestChange(t *testing.T) {
	hold := func(s readiness.State) readiness.State { return s.Hold(hook) }
	release := func(s readiness.State) readiness.State { return s.Release(hook) }
	nothing := func(s readiness.State) readiness.State { return s }
	none := corev1.ConditionStatus("none")
	for sentence, tc := range map[string]struct {
		withoutGate bool
		status      corev1.ConditionStatus
		message     string
		change      func(readiness.State) readiness.State
		wantStatus  corev1.ConditionStatus
		wantMessage string
		wantMoved   bool
	}{
		"the first key holds the Pod":                        {status: "True", change: hold, wantStatus: "False", wantMessage: hookOnly, wantMoved: true},
		"a key is sorted in":                                 {status: "False", message: theOther, change: hold, wantStatus: "False", wantMessage: both},
		"a key that holds already changes nothing":           {status: "False", message: hookOnly, change: hold, wantStatus: none},
		"an order of others is taken as it is":               {status: "False", message: swapped, change: hold, wantStatus: none},
		"a key that lets go leaves the others":               {status: "False", message: swapped, change: release, wantStatus: "False", wantMessage: theOther},
		"the last key that lets go makes the Pod ready":      {status: "False", message: hookOnly, change: release, wantStatus: "True", wantMessage: "[]", wantMoved: true},
		"a key that does not hold lets go of nothing":        {status: "False", message: theOther, change: release, wantStatus: none},
		"a condition that is missing is made with a status":  {status: none, change: hold, wantStatus: "False", wantMessage: hookOnly, wantMoved: true},
		"a Pod without a condition gets one":                 {status: none, change: nothing, wantStatus: "True", wantMoved: true},
		"a condition without a status gets one":              {status: "", change: nothing, wantStatus: "True", wantMoved: true},
		"an empty status with keys becomes False":            {status: "", message: theOther, change: nothing, wantStatus: "False", wantMessage: theOther, wantMoved: true},
		"nobody holds it and it is True":                     {status: "True", change: nothing, wantStatus: none},
		"nobody holds it and it is True, by an empty list":   {status: "True", message: "[]", change: nothing, wantStatus: none},
		"nobody holds it and it is False":                    {status: "False", change: nothing, wantStatus: "True", wantMoved: true},
		"a Pod without the gate is left alone":               {withoutGate: true, status: none, change: hold, wantStatus: none},
		"a message of somebody else holds, and is kept":      {status: "False", message: "maintenance", change: hold, wantStatus: none},
		"a message of somebody else is not ended":            {status: "False", message: "maintenance", change: release, wantStatus: none},
		"a message of somebody else that holds nothing goes": {status: "True", message: "all well", change: hold, wantStatus: "False", wantMessage: hookOnly, wantMoved: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			since := metav1.NewTime(time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC))
			now := since.Add(time.Minute)
			pod := &corev1.Pod{}
			if !tc.withoutGate {
				pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: pub.KruisePodReady}}
			}
			if tc.status != none {
				pod.Status.Conditions = []corev1.PodCondition{
					{Type: corev1.PodReady, Status: "True"},
					{Type: pub.KruisePodReady, Status: tc.status, Message: tc.message, LastTransitionTime: since},
				}
			}
			before := readiness.Read(pod)
			got, isChanged := before.Change(tc.change(before), now)
			assert.Equal(t, tc.wantStatus != none, isChanged)
			assert.Equal(t, readiness.Read(pod), before, "a state is a value")
			if !isChanged {
				return
			}
			assert.Equal(t, tc.wantStatus, got.Status)
			assert.Equal(t, tc.wantMessage, got.Message)
			assert.Equal(t, tc.wantMoved, got.LastTransitionTime.Time.Equal(now), "the time is that of the last change of status")
		})
	}
}

func TestHolds(t *testing.T) {
	s := readiness.State{HasGate: true}.Hold(hook).Hold(another).Hold(hook)
	assert.Equal(t, []readiness.Key{another, hook}, s.Keys)
	assert.True(t, s.Holds(hook))
	assert.False(t, s.Release(hook).Holds(hook))
	assert.True(t, s.Release(hook).Holds(another))
	assert.True(t, s.Holds(hook), "a state is a value")
}

func TestIsFree(t *testing.T) {
	for sentence, tc := range map[string]struct {
		state readiness.State
		want  bool
	}{
		"a Pod without the gate is":                     {state: readiness.State{Status: "False", Keys: []readiness.Key{hook}}, want: true},
		"a Pod that nobody holds is":                    {state: readiness.State{HasGate: true, Status: "True"}, want: true},
		"a Pod without the condition is not":            {state: readiness.State{HasGate: true}},
		"a Pod that somebody holds is not":              {state: readiness.State{HasGate: true, Status: "False", Keys: []readiness.Key{another}}},
		"a Pod whose condition says it late is not":     {state: readiness.State{HasGate: true, Status: "True", Keys: []readiness.Key{another}}},
		"a Pod that a message of somebody holds is not": {state: readiness.State{HasGate: true, Status: "False", IsForeign: true}},
	} {
		t.Run(sentence, func(t *testing.T) { assert.Equal(t, tc.want, tc.state.IsFree()) })
	}
}
