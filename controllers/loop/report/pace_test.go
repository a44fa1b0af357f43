// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestNumbersWaitForASecond(t *testing.T) {
	now := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	r := &Reporter{Clock: now}
	uid := types.UID("web")
	assert.Zero(t, r.left(uid), "the first status is written at once")

	r.written.Store(uid, now.Now())
	now.SetTime(now.Now().Add(300 * time.Millisecond))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}}
	changed := pod.DeepCopy()
	changed.Status.Message = "3 of 5"
	// NOTE: without a client a write would panic.
	left, err := r.Status(t.Context(), News{Observed: pod, Wanted: changed})
	assert.NoError(t, err)
	assert.Equal(t, 700*time.Millisecond, left)

	left, err = r.Status(t.Context(), News{Observed: pod, Wanted: pod.DeepCopy()})
	assert.NoError(t, err)
	assert.Zero(t, left, "what says nothing new waits for nothing")

	now.SetTime(now.Now().Add(700 * time.Millisecond))
	assert.Zero(t, r.left(uid))
	r.written.Store(uid, now.Now())
	r.Forget(uid)
	assert.Zero(t, r.left(uid))
}
