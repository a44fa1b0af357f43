// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report tells the world what a pass saw and did: the status, once and only when it changed, and when to come back.
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
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keelson/keelson/controllers/loop/apply"
	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan"
)

// Reporter writes statuses.
type Reporter struct {
	Client   client.Client
	Inflight *inflight.Tracker
}

// Status patches the status of an object from what was observed to what it should be; equal ones are not written.
func (r *Reporter) Status(ctx context.Context, observed, wanted client.Object) error {
	if equality.Semantic.DeepEqual(observed, wanted) {
		return nil
	}
	patch, err := statusPatch(observed, wanted)
	if err != nil {
		return err
	}
	err = r.Client.Status().Patch(ctx, wanted, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// A newer version is about to arrive, and is reported on then.
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	r.Inflight.Wrote(wanted.GetUID(), apply.KindOf(wanted), wanted.GetResourceVersion())
	return nil
}

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

func statusOf(object client.Object) (map[string]any, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	status, _, err := unstructured.NestedMap(fields, "status")
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	return status, nil
}

// deferredIn is when actions that were overtaken are planned again, should no event come first.
const deferredIn = 100 * time.Millisecond

// Result merges what a pass left to do: failed writes are returned as an error, which is retried with back-off; else the earliest time to
// look again counts.
func Result(ctx context.Context, d plan.Decision, o plan.Outcome) (ctrl.Result, error) {
	logger := log.FromContext(ctx)
	for _, note := range d.Notes {
		logger.V(2).Info(note.Message, "reason", note.Reason)
	}
	var failures []error
	for _, f := range o.Failures {
		failures = append(failures, f.Err)
	}
	if len(failures) > 0 {
		return ctrl.Result{}, errors.Join(failures...)
	}
	after := d.Wake.After
	if len(o.Deferred) > 0 && (after == 0 || after > deferredIn) {
		after = deferredIn
	}
	return ctrl.Result{RequeueAfter: after}, nil
}
