// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inflight_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keelson/keelson/controllers/loop/inflight"
)

func TestState(t *testing.T) {
	const owner, pod = "owner-1", inflight.Kind("Pod")
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
				tr.Seen("ControllerRevision", "12")
			}, want: inflight.Behind,
		},
		"the event may come before the answer": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Seen(pod, "10")
				tr.Wrote(owner, pod, "10")
			}, want: inflight.Current,
		},
		"a deletion is waited for": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) { tr.Deleting(owner, "pod-1") }, want: inflight.Behind,
		},
		"a deletion that the cache shows is over": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, "pod-1")
				tr.Gone("pod-1")
			}, want: inflight.Current,
		},
		"one deletion of two is not enough": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, "pod-1")
				tr.Deleting(owner, "pod-2")
				tr.Gone("pod-1")
			}, want: inflight.Behind,
		},
		"the deletion of an object that nobody waits for changes nothing": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, "pod-1")
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
				tr.Deleting(owner, "pod-1")
				tr.Forget(owner)
				tr.Gone("pod-1")
			}, want: inflight.Current,
		},
		"what is not a version is not waited for": {
			happens: func(tr *inflight.Tracker, _ *clocktesting.FakePassiveClock) { tr.Wrote(owner, pod, "") }, want: inflight.Current,
		},
		"a deletion that is never shown blocks no longer than the age limit": {
			happens: func(tr *inflight.Tracker, c *clocktesting.FakePassiveClock) {
				tr.Deleting(owner, "pod-1")
				c.SetTime(c.Now().Add(31 * time.Second))
			}, want: inflight.Expired,
		},
		"nothing blocks beyond the age limit": {
			happens: func(tr *inflight.Tracker, c *clocktesting.FakePassiveClock) {
				tr.Wrote(owner, pod, "10")
				c.SetTime(c.Now().Add(31 * time.Second))
			}, want: inflight.Expired,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
			tracker := inflight.New(30*time.Second, clock)
			tc.happens(tracker, clock)
			assert.Equal(t, tc.want, tracker.State(owner))
			if tc.want == inflight.Expired {
				assert.Equal(t, inflight.Current, tracker.State(owner), "what expired is forgotten")
			}
		})
	}
}
