// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inflight remembers what was written and not seen yet, so that no decision is made on a cache that lags behind our own writes.
//
//	apply ── Wrote(owner, kind, version) ──►  per owner: the highest version written of each kind
//	apply ── Deleting(owner, object) ──────►  per owner: the UIDs that are being deleted
//	informer ── Seen(kind, version) ───────►  per kind: the highest version that the cache has taken in
//	informer ── Gone(object) ──────────────►  the cache shows that an object is deleted, or about to go
//	reconcile ── State(owner) ─────────────►  Current: go on · Behind: come back shortly · Expired: read from the API server
//
// Versions of one kind are totally ordered, and an informer delivers them in order: once it has shown a version, it has shown all
// before it. A list replaces the cache at once, before any of its objects is told. So it does not matter whether the very object that
// was written still exists, or was released, when the cache gets there.
//
// INVARIANT: no write blocks its owner for longer than the age limit.
package inflight

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
)

// Kind names a type of objects whose versions are compared with each other, such as "Pod".
type Kind string

// State says how far the cache is behind an owner's writes.
type State int

const (
	// Current says that the cache shows every write.
	Current State = iota
	// Behind says that a write is not shown yet.
	Behind
	// Expired says that a write was not shown within the age limit; it has been forgotten, and the next read should be a live one.
	Expired
)

// Tracker remembers writes of many owners. Make one with New.
type Tracker struct {
	limit  time.Duration
	clock  clock.PassiveClock
	mutex  sync.Mutex
	seen   map[Kind]string
	owners map[types.UID]*writes
	// deleting says which owner waits for the deletion of an object.
	deleting map[types.UID]types.UID
}

// writes are what one owner waits to see.
type writes struct {
	versions map[Kind]string
	deleted  map[types.UID]struct{}
	since    time.Time
}

// New makes a tracker whose writes are forgotten after limit.
func New(limit time.Duration, clock clock.PassiveClock) *Tracker {
	return &Tracker{
		limit: limit, clock: clock, seen: map[Kind]string{}, owners: map[types.UID]*writes{}, deleting: map[types.UID]types.UID{},
	}
}

// Wrote notes that an object of a kind was written for an owner, and got this version.
func (t *Tracker) Wrote(owner types.UID, kind Kind, version string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if !isNewer(version, t.seen[kind]) {
		return
	}
	w := t.of(owner)
	if isNewer(version, w.versions[kind]) {
		w.versions[kind] = version
	}
}

// Deleting notes that an object is about to be deleted for an owner. It comes before the request, because the cache may show the
// deletion before the request returns; Gone takes it back when the request fails.
func (t *Tracker) Deleting(owner, object types.UID) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.of(owner).deleted[object] = struct{}{}
	t.deleting[object] = owner
}

func (t *Tracker) of(owner types.UID) *writes {
	w := t.owners[owner]
	if w == nil {
		w = &writes{versions: map[Kind]string{}, deleted: map[types.UID]struct{}{}}
		t.owners[owner] = w
	}
	w.since = t.clock.Now()
	return w
}

// Seen notes that the cache has taken in a version of a kind.
func (t *Tracker) Seen(kind Kind, version string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if isNewer(version, t.seen[kind]) {
		t.seen[kind] = version
	}
}

// Gone notes that an object is deleted or about to go in the cache, or that its deletion failed. Whose object it was does not matter:
// it may have been released since.
func (t *Tracker) Gone(object types.UID) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	owner, isAwaited := t.deleting[object]
	if !isAwaited {
		return
	}
	delete(t.deleting, object)
	if w := t.owners[owner]; w != nil {
		delete(w.deleted, object)
	}
}

// State says whether the cache shows all of an owner's writes.
func (t *Tracker) State(owner types.UID) State {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	w := t.owners[owner]
	if w == nil {
		return Current
	}
	for kind, version := range w.versions {
		if !isNewer(version, t.seen[kind]) {
			delete(w.versions, kind)
		}
	}
	if len(w.versions)+len(w.deleted) == 0 {
		delete(t.owners, owner)
		return Current
	}
	if t.clock.Since(w.since) > t.limit {
		t.forget(owner)
		return Expired
	}
	return Behind
}

// Forget drops what is remembered of an owner that is gone.
func (t *Tracker) Forget(owner types.UID) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.forget(owner)
}

func (t *Tracker) forget(owner types.UID) {
	w := t.owners[owner]
	if w == nil {
		return
	}
	for object := range w.deleted {
		delete(t.deleting, object)
	}
	delete(t.owners, owner)
}

// isNewer compares versions; what is not a version is never newer, and nothing is older than none.
func isNewer(version, than string) bool {
	if version == "" {
		return false
	}
	if than == "" {
		return true
	}
	c, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && c > 0
}
