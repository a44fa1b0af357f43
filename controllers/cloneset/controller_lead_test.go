// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/keelson/keelson/controllers/loop/observe"
)

// takesTheLead lets a standby take over whose cache of Pods, and of nothing else, lacks what the leader before it has written.
func takesTheLead(t *testing.T, w *world) {
	namespace := w.namespace(t)
	set := makeSet(namespace, 5)
	var isShut atomic.Bool
	gate := make(chan struct{})
	options := ctrl.Options{
		LeaderElection: true, LeaderElectionID: "test", LeaderElectionNamespace: set.Namespace, LeaderElectionConfig: w.admin, LeaderElectionReleaseOnCancel: true,
		Cache: cache.Options{DefaultTransform: observe.Transform},
	}
	first := w.startReplica(t, options)
	<-first.room.TakenOver()
	options.Cache.DefaultTransform = func(object any) (any, error) {
		if pod, isPod := object.(*corev1.Pod); isPod && pod.Namespace == namespace && isShut.Load() {
			<-gate
		}
		return observe.Transform(object)
	}
	second := w.startReplica(t, options)
	require.True(t, second.room.Manager.GetCache().WaitForCacheSync(t.Context()))
	isShut.Store(true)
	require.NoError(t, w.Create(t.Context(), set))
	eventually(t, "the leader has created the Pods", func(ctx context.Context) (bool, string) {
		pods, err := w.pods(ctx, set)
		return err == nil && len(pods) == 5, fmt.Sprint(len(pods), err)
	})
	told := func(ctx context.Context) (bool, string) {
		events := w.events(ctx, set, "SuccessfulCreate")
		return len(events) == 5, fmt.Sprint(events)
	}
	eventually(t, "the leader has told of them", told)
	first.stop()
	<-second.room.Manager.Elected()
	select {
	case <-second.room.TakenOver():
	case <-time.After(20 * time.Second):
		t.Fatal("the new leader does not find out what was written before")
	}
	// It may look at the set by now, and must not: it would create the Pods a second time.
	time.Sleep(2 * time.Second)
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	assert.Len(t, pods, 5)
	close(gate)
	w.playKubelet(t, set.Namespace)
	eventually(t, "the new leader goes on when its cache has come", w.isReady(set))
	assert.Len(t, w.events(t.Context(), set, "SuccessfulCreate"), 5)
	second.stop()
}
