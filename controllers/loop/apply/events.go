// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"github.com/keelson/keelson/controllers/plan"
)

// The pace of events with one reason about one workload. A rollout of a thousand Pods must not write a thousand events.
const (
	// eventBurst are told at once, each by itself.
	eventBurst = 10
	// eventEvery is how often one more is told after that; it says how many were left out before it.
	eventEvery = 10 * time.Second
	// eventOwners is for how many workloads and reasons the pace is remembered.
	eventOwners = 4096
	// commonBurst and commonRate, in events a second, limit what is told of all workloads together beyond the first event of each reason about each: hundreds of
	// small rollouts are as much to read, and to write, as a large one.
	commonBurst = 100
	commonRate  = 10
)

// Teller emits events at a pace that a cluster can bear.
type Teller struct {
	recorder events.EventRecorder
	clock    clock.PassiveClock
	mutex    sync.Mutex
	paces    *lru.Cache
	common   *rate.Limiter
}

// NewTeller makes a teller of a recorder.
func NewTeller(recorder events.EventRecorder, clock clock.PassiveClock) *Teller {
	return &Teller{recorder: recorder, clock: clock, paces: lru.New(eventOwners), common: rate.NewLimiter(commonRate, commonBurst)}
}

// topic is what the pace is kept for.
type topic struct {
	owner  types.UID
	reason string
}

// pace is how often something was told, and how often not, since it was told last.
type pace struct {
	limit   *rate.Limiter
	skipped int
}

// tell emits an event about the owner. One that follows a write names the written object as well: events that differ in nothing but their
// message are merged into one.
func (t *Teller) tell(owner, written *corev1.ObjectReference, e plan.Event) {
	if e.Type == "" {
		return
	}
	skipped, now := t.pass(topic{owner: owner.UID, reason: e.Reason})
	if !now {
		return
	}
	suffix := ""
	if skipped > 0 {
		suffix = fmt.Sprintf(" (and %d like this before it)", skipped)
	}
	message := shortened(e.Message, suffix)
	if written == nil {
		t.recorder.Eventf(owner, nil, e.Type, e.Reason, e.Reason, "%s", message)
		return
	}
	t.recorder.Eventf(owner, written, e.Type, e.Reason, e.Reason, "%s", message)
}

// filled puts the error and the object into the message of an event that tells of a failure.
func filled(e plan.Event, err error, object plan.Object) plan.Event {
	if inner := errors.Unwrap(err); inner != nil {
		// The message says itself what was done to what.
		err = inner
	}
	told := ""
	if strings.Contains(e.Message, plan.TheObject) {
		// NOTE: an object that was just sent to the API server can be encoded.
		raw, _ := json.Marshal(object)
		told = string(raw)
	}
	e.Message = strings.NewReplacer(plan.TheError, err.Error(), plan.TheObject, told).Replace(e.Message)
	return e
}

// pass says whether to tell something now, and how often it was not told since the last time.
func (t *Teller) pass(about topic) (skipped int, now bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	known, found := t.paces.Get(about)
	p, isPace := known.(*pace)
	if !found || !isPace {
		p = &pace{limit: rate.NewLimiter(rate.Every(eventEvery), eventBurst)}
		t.paces.Add(about, p)
	}
	when := t.clock.Now()
	isFirst := p.limit.TokensAt(when) >= eventBurst
	if !p.limit.AllowN(when, 1) || !t.common.AllowN(when, 1) && !isFirst {
		p.skipped++
		return 0, false
	}
	skipped, p.skipped = p.skipped, 0
	return skipped, true
}
