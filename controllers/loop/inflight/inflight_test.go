// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inflight_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keelson/keelson/controllers/loop/inflight"
)

var pod = inflight.Kind{Kind: "Pod"}

func TestState(t *testing.T) {
	const owner = "owner-1"
	for name, tc := range map[string]struct {
		happens func(*inflight.Tracker, *clocktesting.FakePassiveClock)
		want    inflight.State
	}{
		"an owner that wrote nothing is current": {
			happens: func(*inflight.Tracker, *clocktesting.FakePassiveClock) {}, want: inflight.Current,
		},
		"a write that the cache has not shown is waited for": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Seen(pod, "9")
				tr.Wrote(owner, pod, "10")
			}, want: inflight.Behind,
		},
		"versions are numbers, not text": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "9")
				tr.Seen(pod, "10")
			}, want: inflight.Current,
		},
		"any later version of the kind proves that the write was shown": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				tr.Seen(pod, "12")
			}, want: inflight.Current,
		},
		"a version of another kind proves nothing": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				tr.Seen(inflight.Kind{Group: "apps", Kind: "ControllerRevision"}, "12")
			}, want: inflight.Behind,
		},
		"the event may come before the answer": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Seen(pod, "10")
				tr.Wrote(owner, pod, "10")
			}, want: inflight.Current,
		},
		"a write of which nobody knows whether it was made is looked for at once": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) { tr.Doubt(owner, pod) }, want: inflight.Expired,
		},
		"and is not decided on the cache before that shows as much as the list did": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Seen(pod, "9")
				tr.Doubt(owner, pod)
				tr.State(owner)
				tr.Listed(owner, pod, "20", "20")
				tr.Seen(pod, "19")
			}, want: inflight.Behind,
		},
		"when it does all is well": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Doubt(owner, pod)
				tr.State(owner)
				tr.Listed(owner, pod, "20", "20")
				tr.Seen(pod, "20")
			}, want: inflight.Current,
		},
		"a list of another kind settles no doubt": {
			happens: func(tr *inflight.Tracker, clock *clocktesting.FakePassiveClock) {
				tr.Doubt(owner, pod)
				tr.State(owner)
				tr.Listed(owner, inflight.Kind{Group: "apps", Kind: "ControllerRevision"}, "20", "20")
				tr.Seen(pod, "20")
				clock.SetTime(clock.Now().Add(time.Minute))
			}, want: inflight.Expired,
		},
		"a deletion without an answer is settled by the list, too": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, pod, "pod-1")
				tr.Doubt(owner, pod)
				tr.State(owner)
				tr.Listed(owner, pod, "20", "20")
				tr.Seen(pod, "20")
			}, want: inflight.Current,
		},
		"a deletion is waited for": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) { tr.Deleting(owner, pod, "pod-1") }, want: inflight.Behind,
		},
		"a deletion that the cache shows is over": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, pod, "pod-1")
				tr.Gone("pod-1")
			}, want: inflight.Current,
		},
		"one deletion of two is not enough": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, pod, "pod-1")
				tr.Deleting(owner, pod, "pod-2")
				tr.Gone("pod-1")
			}, want: inflight.Behind,
		},
		"the deletion of an object that nobody waits for changes nothing": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, pod, "pod-1")
				tr.Gone("pod-2")
			}, want: inflight.Behind,
		},
		"a created Pod that was deleted again before the cache showed it is proved by the event of its deletion": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				tr.Seen(pod, "11")
				tr.Gone("pod-1")
			}, want: inflight.Current,
		},
		"the highest of several writes counts": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "12")
				tr.Wrote(owner, pod, "10")
				tr.Seen(pod, "11")
			}, want: inflight.Behind,
		},
		"a write of another owner is its own business": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) { tr.Wrote("owner-2", pod, "10") }, want: inflight.Current,
		},
		"an owner that is gone is forgotten": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				tr.Deleting(owner, pod, "pod-1")
				tr.Forget(owner)
				tr.Gone("pod-1")
			}, want: inflight.Current,
		},
		"what is not a version is not waited for": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) { tr.Wrote(owner, pod, "") }, want: inflight.Current,
		},
		"a deletion that is not shown within the age limit is read live": {
			happens: func(tr *inflight.Tracker, c *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, pod, "pod-1")
				c.SetTime(c.Now().Add(31 * time.Second))
			}, want: inflight.Expired,
		},
		"a write that is not shown within the age limit is read live": {
			happens: func(tr *inflight.Tracker, c *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				c.SetTime(c.Now().Add(31 * time.Second))
			}, want: inflight.Expired,
		},
		"the age counts from the last write": {
			happens: func(tr *inflight.Tracker, c *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				c.SetTime(c.Now().Add(20 * time.Second))
				tr.Wrote(owner, pod, "11")
				c.SetTime(c.Now().Add(20 * time.Second))
			}, want: inflight.Behind,
		},
		"a cache that is asked knows of versions that no event tells of": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				tr.Follow(pod, func() string { return "11" })
			}, want: inflight.Current,
		},
		"kinds of two groups with one name are two": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, inflight.Kind{Group: "apps.kruise.io", Kind: "StatefulSet"}, "10")
				tr.Seen(inflight.Kind{Group: "apps", Kind: "StatefulSet"}, "12")
			}, want: inflight.Behind,
		},
		"a deletion that is never told is proved by the version of a list that came after it": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, pod, "pod-1")
				tr.Listed(owner, pod, "20", "20")
				tr.Seen(pod, "20")
			}, want: inflight.Current,
		},
		"a deletion after the list is not proved by it": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Listed(owner, pod, "20", "20")
				tr.Deleting(owner, pod, "pod-1")
				tr.Seen(pod, "20")
			}, want: inflight.Behind,
		},
		"whoever takes over waits until it is known what was written before": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) { tr.Hold(pod) }, want: inflight.Behind,
		},
		"whoever takes over waits for what was written before": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Hold(pod)
				tr.Seen(pod, "9")
				tr.Require(pod, "10")
			}, want: inflight.Behind,
		},
		"a cache that is as far as the one before was is good for all": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Hold(pod)
				tr.Require(pod, "10")
				tr.Seen(pod, "10")
			}, want: inflight.Current,
		},
		"what is required may turn out to be less": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Hold(pod)
				tr.Seen(pod, "7")
				tr.Require(pod, "10")
				tr.Require(pod, "7")
			}, want: inflight.Current,
		},
		"whoever takes over reads live when the cache does not come": {
			happens: func(tr *inflight.Tracker, c *clocktesting.FakePassiveClock) {
				tr.Hold(pod)
				tr.Begin()
				c.SetTime(c.Now().Add(31 * time.Second))
			}, want: inflight.Expired,
		},
		"a standby reads nothing live, however long it stands by": {
			happens: func(tr *inflight.Tracker, c *clocktesting.FakePassiveClock) {
				tr.Hold(pod)
				c.SetTime(c.Now().Add(24 * time.Hour))
			}, want: inflight.Behind,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
			tracker := inflight.New(30*time.Second, clock)
			tc.happens(tracker, clock)
			assert.Equal(t, tc.want, tracker.State(owner))
		})
	}
}

func TestWhatExpiredIsNotForgotten(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	tracker := inflight.New(30*time.Second, clock)
	var stale []inflight.Kind
	reads := 0
	tracker.Stale = func(kind inflight.Kind) { stale = append(stale, kind) }
	tracker.Read = func() { reads++ }
	tracker.Wrote("owner-1", pod, "10")
	var at []int
	for second := range 121 {
		clock.SetTime(time.Unix(int64(second), 0))
		switch tracker.State("owner-1") {
		case inflight.Expired:
			at = append(at, second)
			// What a live pass writes is read by the next one: it is no reason to wait for the cache again.
			tracker.Wrote("owner-1", pod, "11")
		case inflight.Current:
			t.Fatalf("after %d s the cache is believed, which has not shown the write", second)
		case inflight.Behind:
			assert.Positive(t, tracker.AskAgain("owner-1"))
		}
	}
	assert.Equal(t, []int{31, 32, 34, 38, 46, 62, 92}, at, "the pauses double up to the age limit")
	assert.Len(t, at, reads)
	assert.Equal(t, []inflight.Kind{pod}, stale, "it is told once")
	tracker.Seen(pod, "11")
	assert.Equal(t, inflight.Current, tracker.State("owner-1"))
}

func TestLiveReadsOfManyOwnersAreSpread(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	tracker := inflight.New(30*time.Second, clock)
	owners := make([]types.UID, 500)
	for i := range owners {
		owners[i] = types.UID(fmt.Sprint(i))
		tracker.Wrote(owners[i], pod, "10")
	}
	read := map[types.UID]int{}
	for second := 31; second < 41; second++ {
		clock.SetTime(time.Unix(int64(second), 0))
		for _, owner := range owners {
			if tracker.State(owner) == inflight.Expired {
				read[owner]++
			} else {
				assert.LessOrEqual(t, tracker.AskAgain(owner), 30*time.Second)
			}
		}
	}
	sum := 0
	for _, n := range read {
		sum += n
	}
	assert.Equal(t, 10+9*5, sum, "a burst of ten, and then five a second")
}

func TestWaitingGrows(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	tracker := inflight.New(30*time.Second, clock)
	tracker.Wrote("owner-1", pod, "10")
	for after, want := range map[time.Duration]time.Duration{
		0: 10 * time.Millisecond, time.Second: 50 * time.Millisecond, 10 * time.Second: 500 * time.Millisecond, 29 * time.Second: time.Second,
	} {
		clock.SetTime(time.Unix(0, 0).Add(after))
		assert.Equal(t, inflight.Behind, tracker.State("owner-1"))
		assert.Equal(t, want, tracker.AskAgain("owner-1"))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	tracker := inflight.New(30*time.Second, clocktesting.NewFakePassiveClock(time.Unix(0, 0)))
	for i := range 100_000 {
		tracker.Wrote(types.UID(fmt.Sprint(i)), pod, fmt.Sprint(i+1))
		tracker.Seen(pod, fmt.Sprint(i+1))
	}
	assert.LessOrEqual(t, tracker.Len(), 1024, "owners of whom nobody asks again are dropped once the cache has shown their writes")
	for i := range 3000 {
		tracker.Deleting(types.UID(fmt.Sprint(i)), pod, types.UID(fmt.Sprint("pod-", i)))
	}
	assert.GreaterOrEqual(t, tracker.Len(), 3000, "nobody is dropped who waits")
}
