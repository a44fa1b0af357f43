// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report tells the world what a pass saw and did: the status, once and only when it changed, and when to come back. While a rollout only moves numbers,
// they are written once a second.
//
//	terminal   the object says something that cannot be done   Stalled=True, no retry
//	waiting    something takes its time                        Wake, no error
//	transient  a write failed                                  the error, retried with back-off
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan"
)

// every is how often the status of a busy object is written while only its numbers change.
const every = time.Second

// Reporter writes statuses.
type Reporter struct {
	Client   client.Client
	Inflight *inflight.Tracker
	Clock    clock.PassiveClock

	written sync.Map // types.UID -> time.Time of the last write
}

// News is the status of an object as it was observed and as it should be.
type News struct {
	Observed, Wanted client.Object
	// Urgent says that more than numbers changed: it is written at once.
	Urgent bool
}

// Status patches the status; equal ones are not written. News that are not urgent and come too soon after the last are not written either: then it
// returns after how long to look again.
func (r *Reporter) Status(ctx context.Context, n News) (time.Duration, error) {
	if equality.Semantic.DeepEqual(n.Observed, n.Wanted) {
		return 0, nil
	}
	if left := r.left(n.Wanted.GetUID()); left > 0 && !n.Urgent {
		return left, nil
	}
	patch, err := statusPatch(n.Observed, n.Wanted)
	if err != nil {
		return 0, err
	}
	kind, err := inflight.KindOf(r.Client, n.Wanted)
	if err != nil {
		return 0, fmt.Errorf("writing the status: %w", err)
	}
	err = r.Client.Status().Patch(ctx, n.Wanted, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// A newer version is about to arrive, and is reported on then.
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("writing the status: %w", err)
	}
	r.written.Store(n.Wanted.GetUID(), r.Clock.Now())
	r.Inflight.Wrote(n.Wanted.GetUID(), kind, n.Wanted.GetResourceVersion())
	return 0, nil
}

// left is how long the status of an object should not be written yet.
func (r *Reporter) left(uid types.UID) time.Duration {
	last, found := r.written.Load(uid)
	if !found {
		return 0
	}
	return every - r.Clock.Since(last.(time.Time))
}

// Forget drops what is remembered of an object that is gone.
func (r *Reporter) Forget(uid types.UID) { r.written.Delete(uid) }

// statusPatch is the whole wanted status, with nulls for what goes. The whole is written because a zero that the schema requires is no difference
// between two Go values, and yet missing on the server the first time.
func statusPatch(observed, wanted client.Object) ([]byte, error) {
	old, err := statusOf(observed)
	if err != nil {
		return nil, err
	}
	status, err := statusOf(wanted)
	if err != nil {
		return nil, err
	}
	for key := range old {
		if _, kept := status[key]; !kept {
			status[key] = nil
		}
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": observed.GetUID(), "resourceVersion": observed.GetResourceVersion()},
		"status":   status,
	})
}

// statusOf encodes the status of an object, and nothing else of it: the spec is large, and may not be one that can be encoded.
func statusOf(object client.Object) (map[string]any, error) {
	status := reflect.Indirect(reflect.ValueOf(object)).FieldByName("Status")
	if !status.IsValid() || !status.CanAddr() {
		return nil, fmt.Errorf("encoding the status: a %T has none", object)
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status.Addr().Interface())
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	return fields, nil
}

const (
	// deferredIn is when actions that were overtaken are planned again, should no event come first.
	deferredIn = 100 * time.Millisecond
	// takenIn is when a creation is planned again whose name is taken. Where the object is our own, the event of the cache comes first; where it
	// is not, it may stay for ever.
	takenIn = 5 * time.Second
	// soon is when what is due brings the next pass also after a failure.
	soon = 30 * time.Second
)

// Result merges what a pass left to do: failed writes are returned as an error, which is retried with back-off, unless something is due soon; else the earliest time to
// look again counts. unreported is when the status has to be written; zero when it has been.
func Result(ctx context.Context, d plan.Decision, o plan.Outcome, unreported time.Duration) (ctrl.Result, error) {
	logger := log.FromContext(ctx)
	for _, note := range d.Notes {
		logger.V(2).Info(note.Message, "reason", note.Reason)
	}
	var failures []error
	for _, f := range o.Failures {
		failures = append(failures, f.Err)
	}
	if err := errors.Join(failures...); err != nil {
		if d.Wake.After == 0 || d.Wake.After > soon {
			return ctrl.Result{}, err
		}
		// What waits for its time must not wait for a back-off that has grown.
		logger.Error(err, "Writes failed, and are tried again when something else is due", "after", max(d.Wake.After, time.Second).String())
		return ctrl.Result{RequeueAfter: max(d.Wake.After, time.Second)}, nil
	}
	after := earliest(d.Wake.After, unreported)
	if o.IsNamespaceTerminating() {
		// Trying again would be in vain. What becomes of the objects is told by events.
		return ctrl.Result{RequeueAfter: after}, nil
	}
	for _, deferral := range o.Deferred {
		if deferral.Reason != plan.NameTaken {
			after = earliest(after, deferredIn)
			continue
		}
		after = earliest(after, takenIn)
		logger.V(1).Info("leaving a creation to the next plan", "reason", deferral.Reason, "object", deferral.Action.Object.GetName(), "because", deferral.Message)
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// earliest is the shorter of two times; zero is never.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
