// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keelson/keelson/controllers/loop/inflight"
)

// takeOver finds out, when this program is about to work, how far its caches must be: as far as whoever worked before may have written. It runs once, when
// the lease has been taken, or at the start where there is none. Until it has told inflight, no object is looked at.
//
//	empty list of the kind ──► version V of the cluster, now             nothing that was written before is newer
//	cache has shown V ───────► go on
//	watch from what the cache has shown ──► the newest change up to V    the cache must have shown that
//
// A version counts the writes of all kinds, so the cache of a kind in which nothing happens does not reach V before the API server sends it a bookmark, once a
// minute. A watch of our own says at once what it still lacks: the changes come immediately, and the bookmark that ends them within two seconds, because
// the API server sends one before a watch times out. That costs two requests for each kind, however many objects there are.
//
// A cache that does not come within the age limit of inflight holds up nobody for longer: then each object is read from the API server, a few in a second.
type takeOver struct {
	tracker *inflight.Tracker
	server  client.WithWatch
	kinds   map[inflight.Kind]client.Object
	// namespace says where the caches look; empty is everywhere.
	namespace func() string
	// done is closed when it has told inflight everything.
	done chan struct{}
}

const (
	// watchSeconds is how long a watch may take. The API server sends a bookmark two seconds before the end.
	watchSeconds = 3
	// takeOverRetry is between two attempts to learn what a cache lacks.
	takeOverRetry = time.Second
)

// newTakeOver makes the take-over of a manager, and lets it run as soon as the manager leads.
func newTakeOver(mgr ctrl.Manager, tracker *inflight.Tracker, namespace func() string) (*takeOver, error) {
	server, err := client.NewWithWatch(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("preparing the take-over: %w", err)
	}
	t := &takeOver{tracker: tracker, server: server, kinds: map[inflight.Kind]client.Object{}, namespace: namespace, done: make(chan struct{})}
	return t, mgr.Add(t)
}

// NeedLeaderElection says that it waits for the lease.
func (t *takeOver) NeedLeaderElection() bool { return true }

// Start tells inflight what each cache must have shown.
func (t *takeOver) Start(ctx context.Context) error {
	t.tracker.Begin()
	begun := time.Now()
	var group errgroup.Group
	for kind, object := range t.kinds {
		group.Go(func() error { return t.require(ctx, kind, object) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	close(t.done)
	log.FromContext(ctx).Info("the new leader knows how far its caches must be", "after", time.Since(begun).String())
	return nil
}

// require finds out what the cache of a kind must have shown, as often as it takes.
func (t *takeOver) require(ctx context.Context, kind inflight.Kind, object client.Object) error {
	gvk, err := t.server.GroupVersionKindFor(object)
	if err != nil {
		return fmt.Errorf("taking over: %w", err)
	}
	list := func() *metav1.PartialObjectMetadataList {
		l := &metav1.PartialObjectMetadataList{}
		l.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		return l
	}
	version := ""
	return wait.PollUntilContextCancel(ctx, takeOverRetry, true, func(ctx context.Context) (bool, error) {
		var err error
		if version == "" {
			version, err = t.version(ctx, list())
			t.tell(ctx, kind, err)
			if err != nil {
				return false, nil
			}
			t.tracker.Require(kind, version)
		}
		shown := t.tracker.Shown(kind)
		if !inflight.IsNewer(version, shown) {
			return true, nil
		}
		if shown == "" {
			// Nobody knows how far the cache is: events will tell.
			return false, nil
		}
		newest, err := t.newest(ctx, list(), shown, version)
		t.tell(ctx, kind, err)
		if err != nil {
			return false, nil
		}
		t.tracker.Require(kind, newest)
		return true, nil
	})
}

func (t *takeOver) tell(ctx context.Context, kind inflight.Kind, err error) {
	if err != nil && ctx.Err() == nil {
		log.FromContext(ctx).Info("asking how far the cache must be failed, and is tried again", "kind", kind.String(), "because", err.Error())
	}
}

// version is that of the cluster at this moment, as far as a kind is concerned. The list asks for an object that cannot exist: its version is what counts.
func (t *takeOver) version(ctx context.Context, list *metav1.PartialObjectMetadataList) (string, error) {
	err := t.server.List(ctx, list, client.InNamespace(t.namespace()), client.MatchingFields{"metadata.name": "-"})
	if err != nil {
		return "", fmt.Errorf("asking for the version: %w", err)
	}
	return list.GetResourceVersion(), nil
}

// newest is the version of the last change of a kind after since, up to until; since itself when there is none.
func (t *takeOver) newest(ctx context.Context, list *metav1.PartialObjectMetadataList, since, until string) (string, error) {
	seconds := int64(watchSeconds)
	w, err := t.server.Watch(ctx, list, &client.ListOptions{
		Namespace: t.namespace(),
		Raw:       &metav1.ListOptions{ResourceVersion: since, AllowWatchBookmarks: true, TimeoutSeconds: &seconds},
	})
	if err != nil {
		return "", fmt.Errorf("watching from version %s: %w", since, err)
	}
	defer w.Stop()
	newest := since
	for e := range w.ResultChan() {
		version, err := versionOf(e)
		if err != nil {
			return "", err
		}
		if e.Type != watch.Bookmark && inflight.IsNewer(version, newest) {
			newest = version
		}
		if !inflight.IsNewer(until, version) {
			return newest, nil
		}
	}
	return "", errors.New("the watch ended before it came that far")
}

func versionOf(e watch.Event) (string, error) {
	if e.Type == watch.Error {
		return "", fmt.Errorf("watching: %w", apierrors.FromObject(e.Object))
	}
	object, err := meta.Accessor(e.Object)
	if err != nil {
		return "", fmt.Errorf("watching: %w", err)
	}
	return object.GetResourceVersion(), nil
}

// CachesSynced is ready when all caches hold what there is. A standby keeps its caches warm, and is ready to take over.
func CachesSynced(c cache.Cache) healthz.Checker {
	return func(request *http.Request) error {
		// Less than a probe waits.
		ctx, cancel := context.WithTimeout(request.Context(), 500*time.Millisecond)
		defer cancel()
		if !c.WaitForCacheSync(ctx) {
			return errors.New("the caches do not hold everything yet")
		}
		return nil
	}
}
