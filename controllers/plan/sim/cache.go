// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/controllers/plan"
)

// Memory is told what the hands tell of their writes, so that no plan is made on a cache that lacks them.
type Memory interface {
	// Wrote tells that an object was created or patched, and got this version.
	Wrote(kind schema.GroupKind, version string)
	// Deleting tells that an object is about to be deleted, NotDeleted that it was not, and Absent that it was gone already.
	Deleting(kind schema.GroupKind, object types.UID)
	NotDeleted(object types.UID)
	Absent(kind schema.GroupKind, object types.UID)
	// Doubt tells that something may have been written of which nobody knows, or that an answer has shown that the cache lags.
	Doubt(kind schema.GroupKind)
}

// Caches show a world as informers do: each kind late, and one kind later than another.
//
//	World ── Record ──► what is not shown yet, by kind ── Show ──► Pods, Revisions and Claims as a plan sees them
type Caches struct {
	world *World
	kinds map[schema.GroupKind]*cache
}

// cache is what the informer of one kind holds, and what is on its way to it.
type cache struct {
	shown, known map[string]plan.Object
	events       []Event
	version      string
}

// Event is what an informer learns.
type Event struct {
	// Object is as it is now, or as it was before it was removed.
	Object plan.Object
	// Removed says that the object is not there any more.
	Removed bool
	// version is that of the world when the event was recorded.
	version string
}

// NewCaches makes caches that hold what the world holds now.
func NewCaches(w *World) *Caches {
	c := &Caches{world: w, kinds: map[schema.GroupKind]*cache{}}
	for _, kind := range c.Kinds() {
		c.kinds[kind] = &cache{shown: c.held(kind), known: c.held(kind), version: w.Version()}
	}
	return c
}

// Kinds are the kinds that have a cache of their own.
func (c *Caches) Kinds() []schema.GroupKind {
	return []schema.GroupKind{kindOf(&corev1.Pod{}), kindOf(&appsv1.ControllerRevision{}), kindOf(&corev1.PersistentVolumeClaim{})}
}

// held is what the world holds of a kind, by name.
func (c *Caches) held(kind schema.GroupKind) map[string]plan.Object {
	all := map[string]plan.Object{}
	switch kind.Kind {
	case "Pod":
		for name, pod := range c.world.pods {
			all[name] = pod
		}
	case "ControllerRevision":
		for name, rev := range c.world.revisions {
			all[name] = rev
		}
	case "PersistentVolumeClaim":
		for name, claim := range c.world.claims {
			all[name] = claim
		}
	}
	return all
}

// Record notes what has happened since the last call. Of several changes of one object in between only the last is an event.
func (c *Caches) Record() {
	for kind, k := range c.kinds {
		now := c.held(kind)
		for _, name := range keysOfBoth(k.known, now) {
			was, is := k.known[name], now[name]
			if was == is {
				continue
			}
			// An object that took the name of another one is told of after the end of that.
			if was != nil && (is == nil || is.GetUID() != was.GetUID()) {
				k.events = append(k.events, Event{Object: was, Removed: true, version: c.world.Version()})
			}
			if is != nil {
				k.events = append(k.events, Event{Object: is, version: c.world.Version()})
			}
		}
		k.known = now
	}
}

func keysOfBoth(a, b map[string]plan.Object) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// Show lets the cache of a kind take in up to so many events, the oldest first, and returns them. When none is left it knows that it is as far as the world.
func (c *Caches) Show(kind schema.GroupKind, n int) []Event {
	c.Record()
	k := c.kinds[kind]
	taken := k.events[:min(n, len(k.events))]
	k.events = k.events[len(taken):]
	for i, e := range taken {
		if e.Removed {
			delete(k.shown, e.Object.GetName())
		} else {
			k.shown[e.Object.GetName()] = e.Object
		}
		// Events that were recorded together have one version, which is reached with the last of them.
		if i+1 == len(taken) && (len(k.events) == 0 || k.events[0].version != e.version) {
			k.version = e.version
		}
	}
	if len(k.events) == 0 {
		k.version = c.world.Version()
	}
	return taken
}

// Version is how far the cache of a kind is.
func (c *Caches) Version(kind schema.GroupKind) string { return c.kinds[kind].version }

// Pods are all Pods that have a controller as the cache shows them, sorted by name.
func (c *Caches) Pods() []*corev1.Pod {
	return slices.DeleteFunc(shown[*corev1.Pod](c), func(pod *corev1.Pod) bool { return metav1.GetControllerOfNoCopy(pod) == nil })
}

// Revisions are all ControllerRevisions that the cache shows, sorted by name.
func (c *Caches) Revisions() []*appsv1.ControllerRevision {
	return shown[*appsv1.ControllerRevision](c)
}

// Claims are the PersistentVolumeClaims of an owner that the cache shows, sorted by name.
func (c *Caches) Claims(owner types.UID) []*corev1.PersistentVolumeClaim {
	return slices.DeleteFunc(shown[*corev1.PersistentVolumeClaim](c), func(claim *corev1.PersistentVolumeClaim) bool {
		controller := metav1.GetControllerOfNoCopy(claim)
		return controller == nil || controller.UID != owner
	})
}

func shown[T plan.Object](c *Caches) []T {
	var all []T
	var one T
	for _, object := range c.kinds[kindOf(one)].shown {
		all = append(all, object.(T))
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}

// Version is the highest version that the world has given; empty before the first.
func (w *World) Version() string {
	if w.version == 0 {
		return ""
	}
	return strconv.FormatInt(w.version, 10)
}

// wrote tells of a creation or a patch whose answer has come.
func (w *World) wrote(object plan.Object, version string) {
	if w.Memory == nil {
		return
	}
	kind := kindOf(object)
	if version == "" {
		version = (&Caches{world: w}).held(kind)[object.GetName()].GetResourceVersion()
	}
	w.Memory.Wrote(kind, version)
}

func kindOf(object plan.Object) schema.GroupKind {
	switch object.(type) {
	case *corev1.Pod:
		return schema.GroupKind{Kind: "Pod"}
	case *appsv1.ControllerRevision:
		return schema.GroupKind{Group: appsv1.GroupName, Kind: "ControllerRevision"}
	default:
		return schema.GroupKind{Kind: "PersistentVolumeClaim"}
	}
}

// forgetting makes the write of a deletion, which is remembered before it is made.
func (w *World) forgetting(a plan.Action, write func() error) error {
	if w.Memory == nil {
		return write()
	}
	w.Memory.Deleting(kindOf(a.Object), a.Object.GetUID())
	err := write()
	switch {
	case errors.Is(err, errLostAnswer):
		w.Memory.Doubt(kindOf(a.Object))
	case apierrors.IsNotFound(err):
		w.Memory.Absent(kindOf(a.Object), a.Object.GetUID())
	case err != nil:
		w.Memory.NotDeleted(a.Object.GetUID())
	}
	return err
}

// doubting tells the memory where a write shows that the cache may lag.
func (w *World) doubting(a plan.Action, err error) error {
	if w.Memory != nil && (errors.Is(err, errLostAnswer) || deferralOf(a, err) == plan.NameTaken) {
		w.Memory.Doubt(kindOf(a.Object))
	}
	return err
}

// Holds reports whether the cache of a kind shows an object.
func (c *Caches) Holds(kind schema.GroupKind, object types.UID) bool {
	for _, shown := range c.kinds[kind].shown {
		if shown.GetUID() == object {
			return true
		}
	}
	return false
}
