// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// room is how many bytes the reviews may have together that are read and answered at one time. An answer takes a few times as much memory as its review.
	room = maxReview
	// leastWeight is what a review counts that is not larger, so that no more than eight are in the room.
	leastWeight = room / 8
	// leftovers is how long the server may look for what a body still has after its review.
	leftovers = time.Second
)

// door lets reviews in while there is room for them. Whoever reaches the port can send them, and no caller is asked who they are: this bounds the memory that all
// of them can take, and how long one that does not come to an end keeps others out.
//
//	a list of 30 MiB is being answered: four reviews of one set each get in (4 * 8 + 30 <= 64), the fifth waits
type door struct {
	room *semaphore.Weighted
	// readIn is how long a review of a weight may take to arrive.
	readIn func(weight int64) time.Duration
}

func newDoor() *door {
	return &door{room: semaphore.NewWeighted(room), readIn: readIn}
}

// readIn is 3 seconds for a review of the least weight, and 10 for the largest. The API server has all of it when it begins to send.
func readIn(weight int64) time.Duration {
	return 2*time.Second + time.Duration(weight/leastWeight)*time.Second
}

// weigh is what a review of so many bytes counts; -1 is one that does not say, and may have as many as there may be.
func weigh(length int64) int64 {
	if length < 0 {
		return maxReview
	}
	return min(max(length, leastWeight), maxReview)
}

// enter waits until there is room for a request, and from then on limits how long its body and its answer are on their way. The function that it returns says that
// the request is over.
func (d *door) enter(ctx context.Context, w http.ResponseWriter, r *http.Request) (leave func(), err error) {
	weight := weigh(r.ContentLength)
	if err := d.room.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	// NOTE: whoever cannot set a limit, as a recorder in a test cannot, has no connection that could be slow.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(d.readIn(weight)))
	_ = control.SetWriteDeadline(time.Now().Add(2 * answerIn))
	return func() {
		// What is left of the body is not waited for.
		_ = control.SetReadDeadline(time.Now().Add(leftovers))
		_ = control.SetWriteDeadline(time.Time{})
		d.room.Release(weight)
	}, nil
}

// hasRead says that a review has arrived. A limit that passes later would end the request.
func hasRead(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}
