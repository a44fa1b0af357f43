// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/cloneset"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/loop/register"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// watch wakes the simulated controller as the real one is woken: by events that pass the predicates and handlers of the hands, by changes of the set, and by the
// retry of a pass that did not do all it wanted. What nothing of that wakes sleeps.
type watch struct {
	controller *simulated
	pods       handler.EventHandler
	podChanged predicate.Predicate
	claims     predicate.Predicate
	isWoken    bool
	// seen is the set as it was when the controllers looked at it last: its generation and status are events, too.
	seen *kruisev1beta1.CloneSet
}

// watchFor puts the controllers of a play on their own watches.
func watchFor(s *simulated, p *sim.Play) *watch {
	room := &register.Room{Reader: &observe.Reader{}}
	w := &watch{controller: s, podChanged: register.PodChanged(), claims: register.ClaimChanged(), isWoken: true}
	w.pods = room.OwnerOfPod(kruisev1beta1.GroupVersion.WithKind("CloneSet"), w.adopters)
	p.Watch = w.see
	p.IsWoken = func() bool { return w.isWoken || w.seen != s.set }
	s.watch = w
	return w
}

// adopters are those who may take a Pod without a controller: the set, where the Pod was its.
func (w *watch) adopters(_ context.Context, pod client.Object) []reconcile.Request {
	if pod.GetDeletionTimestamp() != nil || pod.GetLabels()["app"] != w.controller.set.Spec.Selector.MatchLabels["app"] || !cloneset.WasOurs(w.controller.set, pod) {
		return nil
	}
	return []reconcile.Request{{}}
}

// begin notes that a pass has begun: what happens from now on wakes the next one.
func (w *watch) begin() { w.isWoken, w.seen = false, w.controller.set }

// see is shown every change of the world.
func (w *watch) see(old, updated plan.Object) {
	switch object := firstOf(updated, old).(type) {
	case *corev1.Pod:
		w.seePod(old, updated)
	case *appsv1.ControllerRevision:
		w.isWoken = w.isWoken || metav1.IsControlledBy(object, w.controller.set)
	case *corev1.PersistentVolumeClaim:
		isOurs := metav1.IsControlledBy(object, w.controller.set) || old != nil && metav1.IsControlledBy(old, w.controller.set)
		isShown := old == nil || updated == nil || w.claims.Update(event.UpdateEvent{ObjectOld: old, ObjectNew: updated})
		w.isWoken = w.isWoken || isOurs && isShown
	}
}

func (w *watch) seePod(old, updated plan.Object) {
	ctx, q := context.Background(), &wakes{watch: w}
	switch {
	case old == nil:
		w.pods.Create(ctx, event.CreateEvent{Object: updated}, q)
	case updated == nil:
		w.pods.Delete(ctx, event.DeleteEvent{Object: old}, q)
	default:
		if e := (event.UpdateEvent{ObjectOld: old, ObjectNew: updated}); w.podChanged.Update(e) {
			w.pods.Update(ctx, e, q)
		}
	}
}

func firstOf(a, b plan.Object) plan.Object {
	if a != nil {
		return a
	}
	return b
}

// wakes is the queue of a watch: whatever is put into it wakes the controllers.
type wakes struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	watch *watch
}

func (q *wakes) Add(reconcile.Request) { q.watch.isWoken = true }

func (q *wakes) AddAfter(reconcile.Request, time.Duration) { q.watch.isWoken = true }
