// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package register builds the controllers of all kinds in the same way: how their queues are limited, which events wake them, and how the
// cache's progress is told to inflight.
package register

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keelson/keelson/controllers/loop/apply"
	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/loop/report"
)

// ageLimit is how long a write may stay unseen before its owner is read from the API server.
const ageLimit = 30 * time.Second

// Room is what all kinds work with.
type Room struct {
	Manager  ctrl.Manager
	Inflight *inflight.Tracker
	Reader   *observe.Reader
	Reporter *report.Reporter
	// Namespace is the only one that is worked in; empty means all.
	Namespace string

	takeOver *takeOver
	// stale counts caches that are too late, by kind.
	stale *prometheus.CounterVec
}

// NewRoom prepares the indexes that kinds share, the tracking of the cache's progress, and what a new leader has to wait for.
func NewRoom(ctx context.Context, mgr ctrl.Manager) (*Room, error) {
	tracker, stale, err := newTracker()
	if err != nil {
		return nil, err
	}
	r := &Room{
		Manager:  mgr,
		Inflight: tracker,
		Reader:   &observe.Reader{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Inflight: tracker},
		stale:    stale,
		Reporter: &report.Reporter{Client: mgr.GetClient(), Inflight: tracker, Clock: clock.RealClock{}},
	}
	if r.takeOver, err = newTakeOver(mgr, tracker, func() string { return r.Namespace }); err != nil {
		return nil, err
	}
	if r.Reader.PodIndex, err = r.index(ctx, &corev1.Pod{}); err != nil {
		return nil, err
	}
	if err := r.Reader.PodIndex.AddIndexers(toolscache.Indexers{observe.ClaimUserIndex: observe.IndexClaimUsers}); err != nil {
		return nil, fmt.Errorf("indexing Pods by their claims: %w", err)
	}
	if r.Reader.RevisionIndex, err = r.index(ctx, &appsv1.ControllerRevision{}); err != nil {
		return nil, err
	}
	if r.Reader.ClaimIndex, err = r.index(ctx, &corev1.PersistentVolumeClaim{}); err != nil {
		return nil, err
	}
	return r, nil
}

// index lets the children of a kind be found by their controller, and tracks them. The index is the informer's own: it is up to date before anybody is told of an
// event, and reading it copies nothing.
func (r *Room) index(ctx context.Context, child client.Object) (toolscache.Indexer, error) {
	informer, err := r.Manager.GetCache().GetInformer(ctx, child, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching %T: %w", child, err)
	}
	shared, isShared := informer.(toolscache.SharedIndexInformer)
	if !isShared {
		return nil, fmt.Errorf("indexing %T by controller: its informer is a %T, which has no index", child, informer)
	}
	if err := shared.AddIndexers(toolscache.Indexers{observe.ControllerIndex: observe.Index}); err != nil {
		return nil, fmt.Errorf("indexing %T by controller: %w", child, err)
	}
	return shared.GetIndexer(), r.Track(ctx, child)
}

// Track tells inflight which versions of a kind the cache has taken in. The cache holds an object before its handlers are told of it.
func (r *Room) Track(ctx context.Context, object client.Object) error {
	informer, err := r.Manager.GetCache().GetInformer(ctx, object)
	if err != nil {
		return fmt.Errorf("watching %T: %w", object, err)
	}
	kind, err := inflight.KindOf(r.Manager.GetClient(), object)
	if err != nil {
		return fmt.Errorf("watching %T: %w", object, err)
	}
	if shared, isShared := informer.(toolscache.SharedIndexInformer); isShared {
		// A cache that takes in nothing of its kind for a while still learns how far it is.
		r.Inflight.Follow(kind, shared.GetStore().LastStoreSyncResourceVersion)
	}
	r.takeOver.kinds[kind] = object
	r.Inflight.Hold(kind)
	// A counter that has never counted is served as 0, and not left out.
	r.stale.WithLabelValues(kind.String())
	if _, err = informer.AddEventHandler(r.shows(kind)); err != nil {
		return fmt.Errorf("watching %T: %w", object, err)
	}
	return nil
}

// shows tells of what the cache of a kind shows.
func (r *Room) shows(kind inflight.Kind) toolscache.ResourceEventHandler {
	seen := func(obj any) {
		if o, isObject := obj.(client.Object); isObject {
			r.Inflight.Seen(kind, o.GetResourceVersion())
			if o.GetDeletionTimestamp() != nil {
				r.Inflight.Gone(o.GetUID())
			}
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: seen,
		UpdateFunc: func(old, obj any) {
			seen(obj)
			// A cache that lost its watch may find another object of the name, and tells of no deletion.
			was, isObject := old.(client.Object)
			if now, isNew := obj.(client.Object); isObject && isNew && was.GetUID() != now.GetUID() {
				r.gone(was.GetUID())
			}
		},
		DeleteFunc: func(obj any) {
			if unknown, isUnknown := obj.(toolscache.DeletedFinalStateUnknown); isUnknown {
				obj = unknown.Obj
			}
			seen(obj)
			if o, isObject := obj.(client.Object); isObject {
				r.gone(o.GetUID())
			}
		},
	}
}

// gone drops what is known of an object that is no more.
func (r *Room) gone(uid types.UID) {
	r.Inflight.Gone(uid)
	r.Reader.Forget(uid)
	r.Reporter.Forget(uid)
}

// TakenOver is closed when it is known what whoever worked before has written. Objects are looked at as soon as the caches show that.
func (r *Room) TakenOver() <-chan struct{} { return r.takeOver.done }

// Hands makes the hands of a kind; its name is the reporting component of its events.
func (r *Room) Hands(name string) *apply.Hands {
	return apply.NewHands(r.Manager.GetClient(), r.Inflight, r.Manager.GetEventRecorder(name))
}

// Queue is how the reconciliations of a kind are run.
type Queue struct {
	// Kind is what log lines call the objects, such as "CloneSet".
	Kind string
	// Workers is how many objects are worked on at once.
	Workers int
}

// Options turns a Queue into settings: back-off per object and no limit on all of them together; a panic costs one pass and not the
// program; a standby keeps its caches warm; events of a restart wait behind those of changes.
func (r *Room) Options(q Queue) controller.Options {
	logger := r.Manager.GetLogger().WithValues("kind", q.Kind)
	return controller.Options{
		MaxConcurrentReconciles: q.Workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](5*time.Millisecond, time.Minute),
		UsePriorityQueue:        ptr.To(true),
		RecoverPanic:            ptr.To(true),
		EnableWarmup:            ptr.To(true),
		LogConstructor: func(request *reconcile.Request) logr.Logger {
			if request == nil {
				return logger
			}
			return logger.WithValues("namespace", request.Namespace, "name", request.Name)
		},
	}
}

// The owner of many Pods is woken for many of their events together, because looking at it costs by its Pods.
const (
	// batchPerPod is how long an owner waits for more events, for each of its Pods: a thousand Pods make 20 ms.
	batchPerPod = 20 * time.Microsecond
	// batchAtMost bounds the wait.
	batchAtMost = 200 * time.Millisecond
)

// OwnerOfPod wakes the owner of a Pod, if it is of this kind, and those who may adopt a Pod that has none. What an informer lists at the start waits behind what
// changes.
func (r *Room) OwnerOfPod(kind schema.GroupVersionKind, adopters handler.MapFunc) handler.EventHandler {
	wake := func(ctx context.Context, object client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		owner := metav1.GetControllerOfNoCopy(object)
		if owner == nil {
			for _, request := range adopters(ctx, object) {
				q.Add(request)
			}
			return
		}
		if owner.Kind != kind.Kind {
			return
		}
		if group, err := schema.ParseGroupVersion(owner.APIVersion); err != nil || group.Group != kind.Group {
			return
		}
		request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: owner.Name}}
		q.AddAfter(request, min(time.Duration(r.Reader.Size(owner.UID))*batchPerPod, batchAtMost))
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			wake(ctx, e.Object, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			// Whoever lost the Pod is woken as well.
			if !equality.Semantic.DeepEqual(e.ObjectOld.GetOwnerReferences(), e.ObjectNew.GetOwnerReferences()) {
				wake(ctx, e.ObjectOld, q)
			}
			wake(ctx, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			wake(ctx, e.Object, q)
		},
	}
}

// PodChanged lets pass the events of Pods that change something a decision looks at.
func PodChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		old, isOld := e.ObjectOld.(*corev1.Pod)
		updated, isNew := e.ObjectNew.(*corev1.Pod)
		if !isOld || !isNew {
			return true
		}
		return !hasSameMetadata(old, updated) || old.Generation != updated.Generation ||
			!equality.Semantic.DeepEqual(&old.Status, &updated.Status) || old.Spec.NodeName != updated.Spec.NodeName
	}}
}

// ClaimChanged lets pass the events of PersistentVolumeClaims that change something a decision looks at: not that they are bound.
func ClaimChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()) ||
			!e.ObjectOld.GetDeletionTimestamp().Equal(e.ObjectNew.GetDeletionTimestamp()) ||
			!equality.Semantic.DeepEqual(e.ObjectOld.GetOwnerReferences(), e.ObjectNew.GetOwnerReferences())
	}}
}

func hasSameMetadata(a, b *corev1.Pod) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && slices.Equal(a.Finalizers, b.Finalizers) &&
		a.DeletionTimestamp.Equal(b.DeletionTimestamp) && equality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}
