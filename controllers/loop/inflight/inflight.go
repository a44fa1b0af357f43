// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inflight remembers what was written and not seen yet, so that no decision is made on a cache that lags behind our own writes.
//
//	apply ── Wrote(owner, kind, version) ──────►  per owner: the highest version written of each kind
//	apply ── Deleting(owner, kind, object) ────►  per owner: the UIDs that are being deleted
//	apply ── Doubt(owner, kind) ───────────────►  per owner: of this kind something may have been written, or the cache was caught lagging
//	take-over ── Begin, Require(kind, version) ►  for all owners: what whoever worked before may have written
//	informer ── Follow, Seen(kind, version) ───►  per kind: the highest version that the cache has taken in
//	informer ── Gone(object) ──────────────────►  the cache shows that an object is deleted, or about to go
//	observe ── Listed(owner, kind, version) ───►  a live list proves deletions, and settles doubts, up to its version
//	reconcile ── State(owner) ─────────────────►  Current: go on · Behind: come back later · Expired: read from the API server
//
// Versions of one kind are totally ordered, and an informer delivers them in order: once it has shown a version, it has shown all
// before it. A list replaces the cache at once, before any of its objects is told. So it does not matter whether the very object that
// was written still exists, or was released, when the cache gets there.
//
// A write that is not shown within the age limit is not forgotten: until the cache has shown it, the owner is read from the API server, at growing
// intervals, and no more than a few owners a second.
//
// INVARIANT: no pass is made on a cache that lacks a write of its owner, or may lack one of which nobody knows whether it was made; but for one that the API server makes after
// it gave up on the answer, and after the list that looked for it.
package inflight

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
)

// Kind names objects whose versions are compared with each other. Its group tells a StatefulSet of ours from that of Kubernetes.
type Kind = schema.GroupKind

// Typer knows the kinds of objects; every client does.
type Typer interface {
	GroupVersionKindFor(object runtime.Object) (schema.GroupVersionKind, error)
}

// KindOf names the kind of an object. It fails for a type that the scheme does not have.
func KindOf(t Typer, object runtime.Object) (Kind, error) {
	gvk, err := t.GroupVersionKindFor(object)
	return gvk.GroupKind(), err
}

// State says how far the cache is behind an owner's writes.
type State int

const (
	// Current says that the cache shows every write.
	Current State = iota
	// Behind says that a write is not shown yet, and that it is not time to read from the API server.
	Behind
	// Expired says that a write was not shown within the age limit, and that this pass reads from the API server. Whoever gets this answer should
	// do so: the next one is given after a pause.
	Expired
)

const (
	// soonest and latest bound how often to ask again about an owner that is Behind.
	soonest = 10 * time.Millisecond
	latest  = time.Second
	// heldFor is how often an owner asks that waits for a take-over; it is up to twice as long.
	heldFor = 250 * time.Millisecond
	// firstPause is between the first two live reads of an owner. It doubles from one to the next, up to the age limit.
	firstPause = time.Second
	// liveRate and liveBurst limit the live reads of all owners together, in reads a second: thousands of owners wait for the same watch.
	liveRate  = 5
	liveBurst = 10
	// fewOwners is up to how many owners nobody looks for those that are gone.
	fewOwners = 1024
)

// Tracker remembers writes of many owners. Make one with New.
type Tracker struct {
	// Stale, unless nil, is told which kind's cache did not show a write of an owner within the age limit: once until it has.
	Stale func(Kind)
	// Read, unless nil, is told of each pass that reads from the API server.
	Read func()

	limit  time.Duration
	clock  clock.PassiveClock
	live   *rate.Limiter
	mutex  sync.Mutex
	seen   map[Kind]string
	follow map[Kind]func() string
	owners map[types.UID]*writes
	// deleting says which owner waits for the deletion of an object.
	deleting map[types.UID]types.UID
	// required is what the cache must have shown before any owner is looked at; empty until it is known. Its age counts from held, which is zero before Begin.
	required map[Kind]string
	held     time.Time
	// sweepAt is with how many owners to look for those that nobody will ask for again.
	sweepAt int
}

// writes are what one owner waits to see.
type writes struct {
	versions map[Kind]string
	deleted  map[types.UID]*deletion
	// doubts are the kinds of which something may have been written: they are listed live, and then the cache must show as much as the list did.
	doubts map[Kind]bool
	// since is when it began to wait for the last write; writes of live passes do not count.
	since time.Time
	// isOverdue says that the age limit has passed, or that there was a doubt. next is when it may be read live, and pause how long to wait after that.
	isOverdue bool
	next      time.Time
	pause     time.Duration
}

// deletion is what an owner waits for after it deleted an object.
type deletion struct {
	kind Kind
	// version proves the deletion as soon as the cache has shown it; empty while only the event of the deletion does.
	version string
}

// New makes a tracker of a cache that should show each write within limit.
func New(limit time.Duration, clock clock.PassiveClock) *Tracker {
	return &Tracker{
		limit: limit, clock: clock, live: rate.NewLimiter(liveRate, liveBurst), seen: map[Kind]string{}, follow: map[Kind]func() string{},
		owners: map[types.UID]*writes{}, deleting: map[types.UID]types.UID{}, required: map[Kind]string{}, sweepAt: fewOwners,
	}
}

// Wrote notes that an object of a kind was written for an owner, and got this version.
func (t *Tracker) Wrote(owner types.UID, kind Kind, version string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if !IsNewer(version, t.shown(kind)) {
		return
	}
	w := t.writing(owner)
	if IsNewer(version, w.versions[kind]) {
		w.versions[kind] = version
	}
}

// Deleting notes that an object is about to be deleted for an owner. It comes before the request, because the cache may show the
// deletion before the request returns; Gone takes it back when the request fails.
func (t *Tracker) Deleting(owner types.UID, kind Kind, object types.UID) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.writing(owner).deleted[object] = &deletion{kind: kind}
	t.deleting[object] = owner
}

// Doubt notes that nobody knows whether an object of a kind was written for an owner, because no answer came, or that an answer has shown that the cache lags. The next
// pass reads from the API server.
func (t *Tracker) Doubt(owner types.UID, kind Kind) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.writing(owner).doubts[kind] = true
}

// Listed notes that a live list of a kind was read for an owner, at a version, after all its writes had returned, and which version the newest object in it had; empty for
// none. A cache that has shown the version of the list has shown the owner's deletions, too: it may never tell of them one by one, where it never had the objects. One
// that has shown the newest object has shown all that was written.
func (t *Tracker) Listed(owner types.UID, kind Kind, version, newest string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	w := t.owners[owner]
	if w == nil {
		return
	}
	for _, d := range w.deleted {
		if d.kind == kind && d.version == "" {
			d.version = version
		}
	}
	if w.doubts[kind] {
		delete(w.doubts, kind)
		if IsNewer(newest, w.versions[kind]) {
			w.versions[kind] = newest
		}
	}
}

// Hold lets no owner be Current before Require has told, for each of these kinds, what the cache must have shown.
func (t *Tracker) Hold(kinds ...Kind) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, kind := range kinds {
		t.required[kind] = ""
	}
}

// Begin says that from now on it is asked what the cache must have shown: that may take no longer than the age limit. A standby may hold for days.
func (t *Tracker) Begin() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.held = t.clock.Now()
}

// Require lets no owner be Current before the cache has shown a version of a kind. It takes the place of what was required of the kind before; an empty version is
// not waited for.
func (t *Tracker) Require(kind Kind, version string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if version == "" {
		delete(t.required, kind)
		return
	}
	t.required[kind] = version
}

// Follow lets the tracker ask the cache of a kind which version it has taken in. A cache also learns of versions that belong to other kinds, and tells nobody of them.
func (t *Tracker) Follow(kind Kind, version func() string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.follow[kind] = version
}

// Seen notes that the cache has taken in a version of a kind.
func (t *Tracker) Seen(kind Kind, version string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.see(kind, version)
}

func (t *Tracker) see(kind Kind, version string) {
	if IsNewer(version, t.seen[kind]) {
		t.seen[kind] = version
	}
}

// Shown is the highest version of a kind that the cache is known to have taken in; empty when none is.
func (t *Tracker) Shown(kind Kind) string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.shown(kind)
}

func (t *Tracker) shown(kind Kind) string {
	if follow := t.follow[kind]; follow != nil {
		t.see(kind, follow())
	}
	return t.seen[kind]
}

// Gone notes that an object is deleted or about to go in the cache, or that its deletion failed. Whose object it was does not matter:
// it may have been released since.
func (t *Tracker) Gone(object types.UID) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if w := t.owners[t.deleting[object]]; w != nil {
		delete(w.deleted, object)
	}
	delete(t.deleting, object)
}

// State says whether the cache shows all of an owner's writes.
func (t *Tracker) State(owner types.UID) State {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	w := t.owners[owner]
	missing := t.missing(w)
	if len(missing) == 0 {
		delete(t.owners, owner)
		return Current
	}
	if w == nil && t.held.IsZero() {
		return Behind
	}
	if w == nil {
		w = t.of(owner)
		w.since = t.held
	}
	now := t.clock.Now()
	if !w.isOverdue && !t.becomesOverdue(w, now, missing) {
		return Behind
	}
	if now.Before(w.next) || !t.live.AllowN(now, 1) {
		return Behind
	}
	w.next, w.pause = now.Add(w.pause), min(2*w.pause, t.limit)
	if t.Read != nil {
		t.Read()
	}
	return Expired
}

// becomesOverdue reports whether an owner is to be read live from now on: its writes are not shown in time, or nobody knows of one whether it was made.
func (t *Tracker) becomesOverdue(w *writes, now time.Time, missing []Kind) bool {
	isLate := now.Sub(w.since) > t.limit
	if !isLate && len(w.doubts) == 0 {
		return false
	}
	w.isOverdue, w.pause = true, firstPause
	if isLate {
		t.complain(missing)
	}
	return true
}

// AskAgain is after how long to ask again for the State of an owner that is Behind: the longer it has waited, the later. Those that wait only because all do are
// spread, so that they neither ask nor begin together.
func (t *Tracker) AskAgain(owner types.UID) time.Duration {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	w, now := t.owners[owner], t.clock.Now()
	switch {
	case w == nil, !w.isOverdue && w.isEmpty():
		return wait.Jitter(heldFor, 1)
	case !w.isOverdue:
		return min(max(now.Sub(w.since)/20, soonest), latest)
	case now.Before(w.next):
		return w.next.Sub(now)
	default:
		return latest
	}
}

// Len is how many owners are remembered.
func (t *Tracker) Len() int {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return len(t.owners)
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

// missing are the kinds of which the cache does not show all yet. What it shows is dropped.
func (t *Tracker) missing(w *writes) []Kind {
	found := map[Kind]bool{}
	for kind, version := range t.required {
		if version != "" && !IsNewer(version, t.shown(kind)) {
			delete(t.required, kind)
			continue
		}
		found[kind] = true
	}
	if w != nil {
		t.drop(w)
		for kind := range w.versions {
			found[kind] = true
		}
		for kind := range w.doubts {
			found[kind] = true
		}
		for _, d := range w.deleted {
			found[d.kind] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b Kind) int { return strings.Compare(a.String(), b.String()) })
}

// drop forgets those of an owner's writes that the cache shows.
func (t *Tracker) drop(w *writes) {
	for kind, version := range w.versions {
		if !IsNewer(version, t.shown(kind)) {
			delete(w.versions, kind)
		}
	}
	for object, d := range w.deleted {
		if d.version != "" && !IsNewer(d.version, t.shown(d.kind)) {
			delete(w.deleted, object)
			delete(t.deleting, object)
		}
	}
}

func (t *Tracker) complain(kinds []Kind) {
	if t.Stale == nil {
		return
	}
	for _, kind := range kinds {
		t.Stale(kind)
	}
}

// isEmpty reports whether nothing is waited for.
func (w *writes) isEmpty() bool { return len(w.versions)+len(w.deleted)+len(w.doubts) == 0 }

// writing are the writes of an owner that is about to write.
func (t *Tracker) writing(owner types.UID) *writes {
	w := t.of(owner)
	if !w.isOverdue {
		w.since = t.clock.Now()
	}
	return w
}

func (t *Tracker) of(owner types.UID) *writes {
	w := t.owners[owner]
	if w == nil {
		t.sweep()
		w = &writes{versions: map[Kind]string{}, deleted: map[types.UID]*deletion{}, doubts: map[Kind]bool{}}
		t.owners[owner] = w
	}
	return w
}

// sweep drops the owners whose writes the cache shows, before their number doubles. Of an owner that is gone nobody asks again, and a pass that was under way may have written
// for it after it was forgotten.
func (t *Tracker) sweep() {
	if len(t.owners) < t.sweepAt {
		return
	}
	for owner, w := range t.owners {
		if t.drop(w); w.isEmpty() {
			delete(t.owners, owner)
		}
	}
	t.sweepAt = max(2*len(t.owners), fewOwners)
}

// IsNewer reports whether a version is newer than another of its kind; what is not a version is never newer, and nothing is older than none.
func IsNewer(version, than string) bool {
	if version == "" {
		return false
	}
	if than == "" {
		return true
	}
	c, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && c > 0
}
