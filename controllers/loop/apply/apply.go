// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apply performs the Actions of a Decision. It decides nothing: it adds the optimistic lock, keeps the order of steps, and tells what
// became of each action.
//
//	step 1: create, create, create     concurrently; creations in batches that double, so that a refusal is met a few times, not a thousand
//	step 2: patch, delete              begun when step 1 ended without a failure
//
// What comes First or Then with an action is performed in its place in the batch, before it and after it.
package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan"
)

// writers is how many writes of one decision are under way at once. The API server's priority and fairness limits the sum.
const writers = 32

// Hands perform decisions.
type Hands struct {
	Client   client.Client
	Inflight *inflight.Tracker
	Events   *Teller
	batches  batches
}

// NewHands makes hands that write by a client and tell by a recorder.
func NewHands(c client.Client, tracker *inflight.Tracker, recorder events.EventRecorder) *Hands {
	return &Hands{Client: c, Inflight: tracker, Events: NewTeller(recorder, clock.RealClock{}), batches: newBatches()}
}

// Owner is the workload that a decision is about.
type Owner interface {
	client.Object
}

// Perform carries out a decision. It always returns an Outcome: what fails is in it.
func (h *Hands) Perform(ctx context.Context, owner Owner, d plan.Decision) plan.Outcome {
	var outcome plan.Outcome
	for _, e := range d.Events {
		h.tell(owner, nil, e)
	}
	for _, step := range steps(d.Actions) {
		if len(outcome.Failures) > 0 {
			outcome.DeferNotBegun("an earlier step has failed", step...)
			continue
		}
		h.performStep(ctx, owner, step, &outcome)
	}
	return outcome
}

// steps groups actions by their step, in ascending order.
func steps(actions []plan.Action) [][]plan.Action {
	sorted := slices.Clone(actions)
	slices.SortStableFunc(sorted, func(a, b plan.Action) int { return cmp.Compare(a.Step, b.Step) })
	var out [][]plan.Action
	for i, a := range sorted {
		if i == 0 || a.Step != sorted[i-1].Step {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], a)
	}
	return out
}

// performStep changes what exists, and creates. A change that fails does not keep creations of its step from being made: one Pod that
// cannot be written to must not stop all others.
func (h *Hands) performStep(ctx context.Context, owner Owner, step []plan.Action, outcome *plan.Outcome) {
	var creations, others []plan.Action
	for _, a := range step {
		if a.Verb == plan.Create {
			creations = append(creations, a)
		} else {
			others = append(others, a)
		}
	}
	// Changes and creations run side by side: a Pod that waits to be made ready need not wait until all others are created.
	var created plan.Outcome
	var group errgroup.Group
	group.Go(func() error {
		h.create(ctx, owner, creations, &created)
		return nil
	})
	h.performBatch(ctx, owner, others, outcome)
	// NOTE: the function never returns an error; each creation has its own in created.
	_ = group.Wait()
	outcome.Done = append(outcome.Done, created.Done...)
	outcome.Deferred = append(outcome.Deferred, created.Deferred...)
	outcome.Failures = append(outcome.Failures, created.Failures...)
}

// create makes creations batch by batch until one is refused.
func (h *Hands) create(ctx context.Context, owner Owner, creations []plan.Action, outcome *plan.Outcome) {
	if len(creations) == 0 {
		return
	}
	// NOTE: of a type that is not known nothing can be created; each creation says so.
	kind, _ := inflight.KindOf(h.Client, creations[0].Object)
	of := family{owner: owner.GetUID(), kind: kind}
	size, isRefused := h.batches.size(of), false
	for len(creations) > 0 {
		batch := creations[:min(size, len(creations))]
		creations = creations[len(batch):]
		switch {
		case isRefused:
			outcome.DeferNotBegun("another creation has just failed", batch...)
		case h.performBatch(ctx, owner, batch, outcome) > 0 || outcome.IsNamespaceTerminating():
			isRefused, size = true, 1
		case len(batch) == size:
			size *= 2
		}
	}
	h.batches.remember(of, size)
}

// performBatch performs actions at once, each with what comes with it, and returns how many of these failed.
func (h *Hands) performBatch(ctx context.Context, owner Owner, batch []plan.Action, outcome *plan.Outcome) int {
	results := make([][]result, len(batch))
	var group errgroup.Group
	group.SetLimit(writers)
	for i := range batch {
		group.Go(func() error {
			results[i] = h.performWhole(ctx, owner, batch[i])
			return nil
		})
	}
	// NOTE: the functions never return an error; each has its own in results.
	_ = group.Wait()
	failed := 0
	for _, all := range results {
		before := len(outcome.Failures)
		for _, r := range all {
			h.note(owner, r, outcome)
		}
		if len(outcome.Failures) > before {
			failed++
		}
	}
	return failed
}

// result is what became of one action.
type result struct {
	action plan.Action
	err    error
}

// errNotBegun says that an action was left out because what comes first with it did not succeed.
var errNotBegun = errors.New("what comes first did not succeed")

// performWhole performs an action with what comes first and then.
func (h *Hands) performWhole(ctx context.Context, owner Owner, a plan.Action) []result {
	results := make([]result, 0, 1+len(a.First)+len(a.Then))
	for i, first := range a.First {
		err := h.perform(ctx, owner, first)
		if isThere(first, err) {
			continue
		}
		results = append(results, result{first, err})
		if err == nil {
			continue
		}
		for _, left := range a.First[i+1:] {
			results = append(results, result{left, errNotBegun})
		}
		return append(results, result{a, errNotBegun})
	}
	err := h.perform(ctx, owner, a)
	if isThere(a, err) {
		err = nil
	} else {
		results = append(results, result{a, err})
	}
	for _, then := range a.Then {
		if err == nil {
			results = append(results, result{then, h.perform(ctx, owner, then)})
		} else {
			results = append(results, result{then, errNotBegun})
		}
	}
	return results
}

// isThere reports whether an object need not be created, because the plan makes do with the one that exists.
func isThere(a plan.Action, err error) bool {
	return a.Verb == plan.Create && a.IfExists == plan.ExistsSuffices && apierrors.IsAlreadyExists(err)
}

// note tells what became of one action.
func (h *Hands) note(owner Owner, r result, outcome *plan.Outcome) {
	a, reason := r.action, deferralOf(r.action, r.err)
	switch {
	case r.err == nil:
		outcome.Done = append(outcome.Done, a)
		h.tell(owner, a.Object, a.Done)
	case reason != "":
		outcome.Deferred = append(outcome.Deferred, plan.Deferral{Action: a, Reason: reason, Message: r.err.Error()})
	default:
		outcome.Failures = append(outcome.Failures, plan.Failure{Action: a, Err: r.err, Subresource: subresourceOf(r.err)})
		h.tell(owner, a.Object, filled(a.Failed, r.err, a.Object))
	}
}

// deferralOf says why the next plan has to decide anew, because the world has moved on since the action was planned, or because it was not begun.
// It is empty for a failure.
func deferralOf(a plan.Action, err error) plan.DeferralReason {
	switch {
	case apierrors.IsAlreadyExists(err) && a.Verb == plan.Create && a.IfExists == plan.ExistsDefers:
		return plan.NameTaken
	case apierrors.IsAlreadyExists(err):
		return ""
	case apierrors.IsConflict(err):
		return plan.Superseded
	case isGone(err):
		return plan.ObjectGone
	case errors.Is(err, errNotBegun):
		return plan.NotBegun
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return plan.NamespaceTerminating
	default:
		return ""
	}
}

// isGone says that the object of a write is not there. An API server that does not know the subresource gives the same reason, but names no object, and
// would do so for ever.
func isGone(err error) bool {
	status := apierrors.APIStatus(nil)
	return apierrors.IsNotFound(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Name != ""
}

// subresourceError is about a write to a subresource.
type subresourceError struct {
	name string
	err  error
}

func (e *subresourceError) Error() string { return e.name + ": " + e.err.Error() }

func (e *subresourceError) Unwrap() error { return e.err }

// subresourceOf is the subresource that a failed write went to, if any.
func subresourceOf(err error) string {
	if failed := (*subresourceError)(nil); errors.As(err, &failed) {
		return failed.name
	}
	return ""
}

// tell emits an event about the owner. Versions are left out of its references, so that the same event of a retry is counted and not emitted again.
func (h *Hands) tell(owner Owner, written plan.Object, e plan.Event) {
	if written == nil {
		h.Events.tell(h.reference(owner), nil, e)
		return
	}
	h.Events.tell(h.reference(owner), h.reference(written), e)
}

func (h *Hands) reference(object plan.Object) *corev1.ObjectReference {
	// NOTE: an object that was just written has a kind; without one the reference still has its name.
	kind, _ := h.Client.GroupVersionKindFor(object)
	apiVersion, name := kind.ToAPIVersionAndKind()
	return &corev1.ObjectReference{
		APIVersion: apiVersion, Kind: name, Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
	}
}

// noteLimit is how many bytes the API takes as the note of an event.
const noteLimit = 1024

// shortened keeps a message, with what is written after it, within what an event may hold.
func shortened(message, suffix string) string {
	const cut = "..."
	if len(message)+len(suffix) <= noteLimit {
		return message + suffix
	}
	return strings.ToValidUTF8(message[:noteLimit-len(cut)-len(suffix)], "") + cut + suffix
}

func (h *Hands) perform(ctx context.Context, owner Owner, a plan.Action) error {
	// It is asked for before the write: what is written must be waited for.
	gvk, err := h.Client.GroupVersionKindFor(a.Object)
	if err != nil {
		return fmt.Errorf("performing %q on %s: %w", a.Verb, a.Object.GetName(), err)
	}
	switch a.Verb {
	case plan.Create:
		// The client writes the answer into the object; the plan's own stays as it was.
		object := a.Object.DeepCopyObject().(client.Object)
		if err := h.Client.Create(ctx, object); err != nil {
			if deferralOf(a, err) == plan.NameTaken {
				// It may be ours, of a creation whose answer was lost: then the cache lags. One that failed is asked for again by the same name, so this is where it shows.
				h.Inflight.Doubt(owner.GetUID(), gvk.GroupKind())
			}
			return fmt.Errorf("creating %s: %w", a.Object.GetName(), err)
		}
		h.Inflight.Wrote(owner.GetUID(), gvk.GroupKind(), object.GetResourceVersion())
	case plan.Patch:
		return h.patch(ctx, owner, a, gvk)
	case plan.Delete:
		return h.delete(ctx, owner, a, gvk.GroupKind())
	default:
		return fmt.Errorf("performing %q on %s: no such verb", a.Verb, a.Object.GetName())
	}
	return nil
}

func (h *Hands) delete(ctx context.Context, owner Owner, a plan.Action, kind inflight.Kind) error {
	uid := a.Object.GetUID()
	h.Inflight.Deleting(owner.GetUID(), kind, uid)
	observed := client.Preconditions{UID: &uid}
	if a.Locked {
		version := a.Object.GetResourceVersion()
		observed.ResourceVersion = &version
	}
	err := h.Client.Delete(ctx, bare(a.Object), observed, client.PropagationPolicy(metav1.DeletePropagationBackground))
	switch {
	case isUnanswered(err):
		h.Inflight.Doubt(owner.GetUID(), kind)
	case isGone(err):
		// The cache lags where it shows the object: the event of the deletion is waited for, instead of deleting it again and again.
		if h.shown(ctx, a.Object) == nil {
			h.Inflight.Gone(uid)
		}
	case err != nil || h.isShownToEnd(ctx, a.Object):
		h.Inflight.Gone(uid)
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w", a.Object.GetName(), err)
	}
	return nil
}

// isUnanswered reports whether nobody knows if a write was made: the connection broke, or the API server says that it does not know either. It knows where it speaks of an
// internal error, such as a webhook that it could not call: what the store did not answer has no reason.
func isUnanswered(err error) bool {
	status := apierrors.APIStatus(nil)
	switch {
	case err == nil, utilnet.IsConnectionRefused(err), apierrors.IsServiceUnavailable(err):
		return false
	case errors.As(err, &status):
		return status.Status().Code >= http.StatusInternalServerError && status.Status().Reason != metav1.StatusReasonInternalError
	default:
		return true
	}
}

// shown is an object as the cache shows it; nil when it does not.
func (h *Hands) shown(ctx context.Context, object plan.Object) client.Object {
	found := bare(object)
	if err := h.Client.Get(ctx, client.ObjectKeyFromObject(object), found); err != nil || found.GetUID() != object.GetUID() {
		return nil
	}
	return found
}

// isShownToEnd reports whether the cache shows that an object is about to go: somebody else began that before us, and no event will tell of our deletion until the
// object is gone for good, which may take its whole grace period.
func (h *Hands) isShownToEnd(ctx context.Context, object plan.Object) bool {
	found := h.shown(ctx, object)
	return found != nil && found.GetDeletionTimestamp() != nil
}

// patch makes the writes of an action one after the other, each on the version that the one before gave.
func (h *Hands) patch(ctx context.Context, owner Owner, a plan.Action, gvk schema.GroupVersionKind) error {
	version := a.Object.GetResourceVersion()
	for _, change := range a.Changes {
		if change.Unlocked {
			version = ""
		}
		body, err := locked(change.Patch, a.Object.GetUID(), version)
		if err != nil {
			return fmt.Errorf("patching %s: %w", a.Object.GetName(), err)
		}
		object := answer(a.Object, gvk)
		patch := client.RawPatch(types.StrategicMergePatchType, body)
		if change.Subresource == "" {
			err = h.Client.Patch(ctx, object, patch)
		} else if err = h.Client.SubResource(change.Subresource).Patch(ctx, object, patch); err != nil {
			err = &subresourceError{name: change.Subresource, err: err}
		}
		if err != nil {
			if isUnanswered(err) {
				h.Inflight.Doubt(owner.GetUID(), gvk.GroupKind())
			}
			return fmt.Errorf("patching %s: %w", a.Object.GetName(), err)
		}
		version = object.GetResourceVersion()
		h.Inflight.Wrote(owner.GetUID(), gvk.GroupKind(), version)
	}
	return nil
}

// answer is what the API server answers a patch with: the metadata. The rest would be sent and decoded for nothing.
func answer(object plan.Object, gvk schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	target := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: object.GetName(), Namespace: object.GetNamespace()}}
	target.SetGroupVersionKind(gvk)
	return target
}

// bare is an object of the same type that has a name and nothing else: a target for the client to write its answer into.
func bare(object plan.Object) client.Object {
	b := reflect.New(reflect.TypeOf(object).Elem()).Interface().(client.Object)
	b.SetName(object.GetName())
	b.SetNamespace(object.GetNamespace())
	return b
}
