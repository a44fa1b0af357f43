// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keelson/keelson/controllers/loop/inflight"
)

// server is an API server that knows Pods, at some version.
type server struct {
	client.WithWatch
	version string
	// refusals is how many requests it refuses first.
	refusals int
	changes  []watch.Event
	// since are the versions from which it was watched.
	since []string
}

func (s *server) GroupVersionKindFor(runtime.Object) (schema.GroupVersionKind, error) {
	return corev1.SchemeGroupVersion.WithKind("Pod"), nil
}

func (s *server) refuses() bool {
	s.refusals--
	return s.refusals >= 0
}

func (s *server) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if s.refuses() {
		return errors.New("not now")
	}
	list.SetResourceVersion(s.version)
	return nil
}

func (s *server) Watch(_ context.Context, _ client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	o := &client.ListOptions{}
	o.ApplyOptions(options)
	s.since = append(s.since, o.Raw.ResourceVersion)
	if s.refuses() {
		return nil, errors.New("not now")
	}
	w := watch.NewFakeWithChanSize(len(s.changes), false)
	for _, e := range s.changes {
		w.Action(e.Type, e.Object)
	}
	return w, nil
}

func changed(version string) watch.Event {
	return watch.Event{Type: watch.Modified, Object: &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}}
}

func bookmark(version string) watch.Event {
	e := changed(version)
	e.Type = watch.Bookmark
	return e
}

func TestTakeOver(t *testing.T) {
	kind := inflight.Kind{Kind: "Pod"}
	for name, tc := range map[string]struct {
		server server
		shown  string
		// want is the state before, and once the cache has shown version 7.
		want, wantThen inflight.State
		wantWatches    int
	}{
		"a cache that is as far as the cluster is good": {
			server: server{version: "5"}, shown: "5", want: inflight.Current, wantThen: inflight.Current,
		},
		"a cache of a kind in which nothing happened is good, though the cluster is at a later version": {
			server: server{version: "50", changes: []watch.Event{bookmark("51")}}, shown: "5", want: inflight.Current, wantThen: inflight.Current, wantWatches: 1,
		},
		"a cache that lacks a change is waited for": {
			server: server{version: "50", changes: []watch.Event{changed("6"), changed("7"), bookmark("50")}},
			shown:  "5", want: inflight.Behind, wantThen: inflight.Current, wantWatches: 1,
		},
		"what changes later need not be waited for, and no bookmark either": {
			server: server{version: "7", changes: []watch.Event{changed("7"), changed("90")}}, shown: "5", want: inflight.Behind, wantThen: inflight.Current, wantWatches: 1,
		},
		"an API server that is not there is asked again": {
			server: server{version: "50", refusals: 3, changes: []watch.Event{bookmark("51")}}, shown: "5", want: inflight.Current, wantThen: inflight.Current, wantWatches: 1,
		},
		"a watch that is refused is tried again": {
			server: server{version: "50", refusals: 1, changes: []watch.Event{{Type: watch.Error, Object: &metav1.Status{Message: "too old"}}}},
			shown:  "5", want: inflight.Behind, wantThen: inflight.Behind, wantWatches: 9,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tracker := inflight.New(ageLimit, clock.RealClock{})
				tracker.Hold(kind)
				tracker.Seen(kind, tc.shown)
				assert.Equal(t, inflight.Behind, tracker.State("set-1"), "nobody begins before it is known what was written")
				takeOver := &takeOver{
					tracker: tracker, server: &tc.server, kinds: map[inflight.Kind]client.Object{kind: &corev1.Pod{}}, namespace: func() string { return "" }, done: make(chan struct{}),
				}
				require.True(t, takeOver.NeedLeaderElection())
				ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
				defer cancel()
				require.NoError(t, takeOver.Start(ctx))
				assert.Equal(t, tc.want, tracker.State("set-1"))
				tracker.Seen(kind, "7")
				assert.Equal(t, tc.wantThen, tracker.State("set-1"))
				assert.Len(t, tc.server.since, tc.wantWatches)
				for _, since := range tc.server.since {
					assert.Equal(t, tc.shown, since)
				}
			})
		})
	}
}

// syncing is a cache that is synced or not.
type syncing struct {
	cache.Cache
	isSynced bool
}

func (c syncing) WaitForCacheSync(ctx context.Context) bool {
	if !c.isSynced {
		<-ctx.Done()
	}
	return c.isSynced
}

func TestCachesSynced(t *testing.T) {
	request := httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil)
	assert.NoError(t, CachesSynced(syncing{isSynced: true})(request))
	assert.Error(t, CachesSynced(syncing{})(request))
}
