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
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keelson/keelson/controllers/loop/apply"
	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/loop/report"
)

// ageLimit is how long a write may stay unseen before it is forgotten and read from the API server.
const ageLimit = 30 * time.Second

// Room is what all kinds work with.
type Room struct {
	Manager  ctrl.Manager
	Inflight *inflight.Tracker
	Reader   *observe.Reader
	Reporter *report.Reporter
}

// NewRoom prepares the indexes that kinds share and the tracking of the cache's progress.
func NewRoom(ctx context.Context, mgr ctrl.Manager) (*Room, error) {
	tracker := inflight.New(ageLimit, clock.RealClock{})
	r := &Room{
		Manager:  mgr,
		Inflight: tracker,
		Reader:   &observe.Reader{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Inflight: tracker},
		Reporter: &report.Reporter{Client: mgr.GetClient(), Inflight: tracker, Clock: clock.RealClock{}},
	}
	for _, child := range []client.Object{&corev1.Pod{}, &appsv1.ControllerRevision{}} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, child, observe.ControllerIndex, observe.Index); err != nil {
			return nil, fmt.Errorf("indexing %T by controller: %w", child, err)
		}
		if err := r.Track(ctx, child); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Track tells inflight which versions of a kind the cache has taken in. The cache holds an object before its handlers are told of it.
func (r *Room) Track(ctx context.Context, object client.Object) error {
	informer, err := r.Manager.GetCache().GetInformer(ctx, object)
	if err != nil {
		return fmt.Errorf("watching %T: %w", object, err)
	}
	kind := apply.KindOf(object)
	seen := func(obj any) {
		if o, isObject := obj.(client.Object); isObject {
			r.Inflight.Seen(kind, o.GetResourceVersion())
			if o.GetDeletionTimestamp() != nil {
				r.Inflight.Gone(o.GetUID())
			}
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    seen,
		UpdateFunc: func(_, obj any) { seen(obj) },
		DeleteFunc: func(obj any) {
			if unknown, isUnknown := obj.(toolscache.DeletedFinalStateUnknown); isUnknown {
				obj = unknown.Obj
			}
			seen(obj)
			if o, isObject := obj.(client.Object); isObject {
				r.Inflight.Gone(o.GetUID())
				r.Reader.Forget(o.GetUID())
				r.Reporter.Forget(o.GetUID())
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching %T: %w", object, err)
	}
	return nil
}

// Hands makes the hands of a kind; its name is the reporting component of its events.
func (r *Room) Hands(name string) *apply.Hands {
	teller := apply.NewTeller(r.Manager.GetEventRecorder(name), clock.RealClock{})
	return &apply.Hands{Client: r.Manager.GetClient(), Inflight: r.Inflight, Events: teller}
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

// BehindIn is when to look again at an object whose cache is behind.
const BehindIn = 10 * time.Millisecond

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

func hasSameMetadata(a, b *corev1.Pod) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && slices.Equal(a.Finalizers, b.Finalizers) &&
		a.DeletionTimestamp.Equal(b.DeletionTimestamp) && equality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}
