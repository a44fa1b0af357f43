// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keelson/keelson/controllers/plan"
)

func TestEventsOfOneReasonKeepAPace(t *testing.T) {
	recorder := events.NewFakeRecorder(100)
	now := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	teller := NewTeller(recorder, now)
	web, shop := &corev1.ObjectReference{Name: "web", UID: "1"}, &corev1.ObjectReference{Name: "shop", UID: "2"}
	told := func() (all []string) {
		for len(recorder.Events) > 0 {
			all = append(all, <-recorder.Events)
		}
		return all
	}
	created := func(i int) plan.Event {
		return plan.Event{Type: corev1.EventTypeNormal, Reason: "SuccessfulCreate", Message: fmt.Sprintf("created web-%d", i)}
	}

	for i := range 14 {
		teller.tell(web, web, created(i))
	}
	assert.Len(t, told(), 10, "the first ten are told each by itself")

	teller.tell(shop, nil, created(0))
	teller.tell(web, nil, plan.Event{Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: "no"})
	assert.Len(t, told(), 2, "another workload and another reason have a pace of their own")

	now.SetTime(now.Now().Add(eventEvery))
	teller.tell(web, web, created(14))
	teller.tell(web, web, created(15))
	assert.Equal(t, []string{"Normal SuccessfulCreate created web-14 (and 4 like this before it)"}, told())

	teller.tell(web, nil, plan.Event{})
	assert.Empty(t, told(), "no event is no event")
}

func TestEventsOfManyWorkloadsKeepAPaceTogether(t *testing.T) {
	recorder := events.NewFakeRecorder(3000)
	teller := NewTeller(recorder, clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0)))
	for owner := range 500 {
		web := &corev1.ObjectReference{Name: "web", UID: types.UID(fmt.Sprint(owner))}
		for range 5 {
			teller.tell(web, web, plan.Event{Type: corev1.EventTypeNormal, Reason: "SuccessfulCreate", Message: "created"})
		}
	}
	assert.Len(t, recorder.Events, 500+80, "the first of each is told, and with them the first hundred")
}

func TestAnEventIsNeverLongerThanTheAPITakes(t *testing.T) {
	recorder := events.NewFakeRecorder(100)
	now := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	teller := NewTeller(recorder, now)
	web := &corev1.ObjectReference{Name: "web", UID: "1"}
	refused := plan.Event{Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: strings.Repeat("no ", 2000)}
	for range 14 {
		teller.tell(web, web, refused)
	}
	now.SetTime(now.Now().Add(eventEvery))
	teller.tell(web, web, refused)
	last := ""
	for len(recorder.Events) > 0 {
		last = strings.TrimPrefix(<-recorder.Events, "Warning FailedCreate ")
		assert.LessOrEqual(t, len(last), 1024)
	}
	assert.Contains(t, last, " (and 4 like this before it)")
}
