// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// lag is a controller whose caches are late, each kind for itself, and the tracker that the real controllers have.
//
//	pass ── tracker.State ──► Current: plan on the caches · Expired: plan on the world · Behind: no plan
type lag struct {
	*sim.Play
	controller *simulated
	caches     *sim.Caches
	tracker    *inflight.Tracker
	clock      *clocktesting.FakePassiveClock
	limit      time.Duration
	// passes and reads count what was planned, and what of it on the world.
	passes, reads int
}

var _ sim.Memory = &lag{}

// lagged puts caches between a world and the controller that plays in it.
func lagged(p *sim.Play, controller *simulated, limit time.Duration) *lag {
	l := &lag{Play: p, controller: controller, caches: sim.NewCaches(p.World), limit: limit}
	l.start()
	p.Memory, controller.sees = l, l.caches
	return l
}

// start is what a program does that was started, or that took over: it remembers nothing, and waits until its caches are as far as the world is now.
func (l *lag) start() {
	l.clock, l.controller.kept = clocktesting.NewFakePassiveClock(l.Now), nil
	l.tracker = inflight.New(l.limit, l.clock)
	l.tracker.Begin()
	for _, kind := range l.caches.Kinds() {
		l.tracker.Follow(kind, func() string { return l.caches.Version(kind) })
		l.tracker.Require(kind, l.Version())
	}
}

func (l *lag) Wrote(kind schema.GroupKind, version string) {
	l.tracker.Wrote(l.controller.set.UID, kind, version)
}

func (l *lag) Deleting(kind schema.GroupKind, object types.UID) {
	l.tracker.Deleting(l.controller.set.UID, kind, object)
}

func (l *lag) NotDeleted(object types.UID) { l.tracker.Gone(object) }

func (l *lag) Absent(kind schema.GroupKind, object types.UID) {
	if !l.caches.Holds(kind, object) {
		l.tracker.Gone(object)
	}
}

func (l *lag) Doubt(kind schema.GroupKind) { l.tracker.Doubt(l.controller.set.UID, kind) }

// show lets a cache take in some events, and tells the tracker of deletions. How far the cache is the tracker asks itself.
func (l *lag) show(kind schema.GroupKind, n int) {
	for _, e := range l.caches.Show(kind, n) {
		if e.Removed || e.Object.GetDeletionTimestamp() != nil {
			l.tracker.Gone(e.Object.GetUID())
		}
	}
}

// pass lets the controllers work once, if they may.
func (l *lag) pass() {
	l.clock.SetTime(l.Now)
	switch l.tracker.State(l.controller.set.UID) {
	case inflight.Behind:
		return
	case inflight.Expired:
		l.reads++
		l.controller.sees = nil
		for _, kind := range l.caches.Kinds() {
			l.tracker.Listed(l.controller.set.UID, kind, l.Version(), l.Version())
		}
	case inflight.Current:
		l.controller.sees = l.caches
	}
	l.passes++
	if l.Reconcile().Killed {
		l.start()
	}
}

func TestACacheThatLagsForLongMakesNobodyCreateAPodTwice(t *testing.T) {
	for _, kind := range []string{"Pod", "ControllerRevision", "PersistentVolumeClaim"} {
		t.Run("the cache of kind "+kind+" shows nothing for five minutes", func(t *testing.T) {
			w := sim.NewWorld()
			w.Script = &sim.Script{}
			controller := simulate(MakeCloneSet("web").Replicas(3).Volume("data").Obj())
			l := lagged(sim.NewPlay(w, controller), controller, 30*time.Second)
			for range 300 {
				for _, other := range l.caches.Kinds() {
					if other.Kind != kind {
						l.show(other, 100)
					}
				}
				l.pass()
				require.LessOrEqual(t, len(w.Pods()), 3, "%s", w.Script.Tail(20))
				w.Wait(time.Second)
			}
			assert.Len(t, w.Pods(), 3, "the set comes up all the same")
			assert.Empty(t, l.Breaches())
			assert.LessOrEqual(t, l.reads, 16, "the API server is read at growing intervals, and not by each of %d passes", l.passes)
		})
	}
}

// ofTheWorld are the invariants that hold only for those who know what others have just done: no cache does. What follows from the controllers' own writes is
// checked: how many Pods there are, how many of them are updated, that each is written to once in a pass. What others have written already may be written in vain.
func ofTheWorld() []string {
	return []string{
		sim.AvailableFloor, sim.SurplusOnly, sim.HooksRespected, sim.DrainedFirst, sim.ReadyWhenFollowed, sim.VolumesFirst, sim.VolumesKept,
		sim.DoneWhenResized, sim.InLaunchOrder, sim.MarkedWhileHeld, sim.KeysOfOthersKept, sim.NoIdleWrite,
	}
}

// pass lets the controllers work once. Late caches take in something before, each kind for itself.
func (c *chaos) pass() {
	if c.lag == nil {
		c.Reconcile()
		return
	}
	for _, kind := range c.lag.caches.Kinds() {
		if c.rand.IntN(4) == 0 {
			c.lag.show(kind, 1+c.rand.IntN(6))
		}
	}
	c.lag.pass()
}

// TestRandomLag lets the caches of the kinds lag apart in random worlds, and kills the controllers now and then: who comes next has the same late caches.
func TestRandomLag(t *testing.T) {
	const worlds = 80
	passes, reads, skipped := 0, 0, 0
	for seed := range uint64(worlds) {
		c := newChaos(seed)
		c.Faults = sim.Faults{sim.Conflict: 20, sim.Refusal: 10, sim.LostAnswer: 30, sim.Kill: 20}
		// What wakes them is not in question here: they are woken at will.
		c.Watch, c.IsWoken, c.controller.watch = nil, nil, nil
		c.lag = lagged(c.Play, c.controller, 5*time.Second)
		c.Allowed = ofTheWorld()
		for range stepsPerSeed {
			c.step()
			// How updates are ordered is judged by those who see everything.
			c.controller.overtaken = ""
			require.Empty(t, c.problem(), "seed %d: %s", seed, c.Script.Tail(40))
		}
		passes, reads = passes+c.lag.passes, reads+c.lag.reads
		c.Allowed, c.Memory, c.controller.sees = nil, nil, nil
		require.Empty(t, c.calm(), "seed %d: %s", seed, c.Script.Tail(40))
		if c.skipped != "" {
			skipped++
		}
	}
	assert.Positive(t, reads)
	t.Logf("%d passes, %d of them live; %d worlds of %d had no end that can be judged", passes, reads, skipped, worlds)
	assert.LessOrEqual(t, 100*skipped, skippable*worlds, "too many worlds are not judged")
}
