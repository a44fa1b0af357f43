// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Decision is what a Plan wants: the Actions in the order in which they are begun, when to look again, and what to tell.
type Decision struct {
	// Actions are performed in order of their Step; those of one Step run concurrently.
	Actions []Action
	// Wake is when to plan again if no event comes first.
	Wake Wake
	// Notes explain the decision to people; they go to the log and, by the kind's choice, into conditions.
	Notes []Note
	// Events are told even though nothing is written, such as a refusal to act. A kind emits one only when its cause is new.
	Events []Event
}

// IsEmpty says that nothing is to be done, now or at a known time.
func (d Decision) IsEmpty() bool { return len(d.Actions) == 0 && d.Wake.After == 0 }

// Act appends actions.
func (d *Decision) Act(actions ...Action) { d.Actions = append(d.Actions, actions...) }

// Note appends a note.
func (d *Decision) Note(reason, message string) {
	d.Notes = append(d.Notes, Note{Reason: reason, Message: message})
}

// WakeIn asks for a new plan after a time; the earliest of several wins. A time of zero or less counts as a millisecond, so that
// a deadline which has just passed is not forgotten.
func (d *Decision) WakeIn(after time.Duration, reason string) {
	after = max(after, time.Millisecond)
	if d.Wake.After == 0 || after < d.Wake.After {
		d.Wake = Wake{After: after, Reason: reason}
	}
}

// Wake is when to plan again. The zero value waits for an event.
type Wake struct {
	After  time.Duration
	Reason string
}

// Note is one sentence of explanation.
type Note struct {
	// Reason is one CamelCase word.
	Reason string
	// Message is for people.
	Message string
}

// Event is a Kubernetes event to emit on the workload.
type Event struct {
	// Type is corev1.EventTypeNormal or corev1.EventTypeWarning; empty means no event.
	Type string
	// Reason is one CamelCase word; it is part of the published contract.
	Reason string
	// Message is for people.
	Message string
}

const (
	// TheError stands for the error in the message of an Action's Failed event.
	TheError = "{error}"
	// TheObject stands there for the Action's Object as JSON. It belongs at the end: what is longer than an event may be is cut off.
	TheObject = "{object}"
)

// Object is any Kubernetes object; the same as controller-runtime's client.Object, which this package must not import.
type Object interface {
	metav1.Object
	runtime.Object
}

// Verb is what an Action does.
type Verb string

const (
	// Create creates Object.
	Create Verb = "create"
	// Patch applies Changes to Object, one write each.
	Patch Verb = "patch"
	// Delete deletes Object, if it still has the observed UID.
	Delete Verb = "delete"
)

// Phase names the part of a plan that an Action belongs to; a failure is reported under its phase.
type Phase string

const (
	// PhaseRevision keeps the revision history.
	PhaseRevision Phase = "revision"
	// PhaseScale adds and removes Pods.
	PhaseScale Phase = "scale"
	// PhaseRefresh advances what is under way on single Pods: hooks, and the steps of an update in place.
	PhaseRefresh Phase = "refresh"
	// PhaseVolumes settles what becomes of the volume claims of Pods that are gone, and makes those that are missing.
	PhaseVolumes Phase = "volumes"
	// PhaseUpdate brings Pods to another revision.
	PhaseUpdate Phase = "update"
)

// IfExists says what it means for a Create that there is an object of that name already.
type IfExists string

const (
	// ExistsFails is a failure, told like any other: the name is taken by somebody else. It is what an Action that says nothing gets.
	ExistsFails IfExists = ""
	// ExistsDefers lets the next plan decide anew, because it will choose another name, or see the object in the cache. The Action is
	// Deferred as NameTaken.
	ExistsDefers IfExists = "defer"
	// ExistsSuffices counts as created, by a write whose answer was lost or by somebody else. The Action is not in the Outcome, and nobody is told.
	ExistsSuffices IfExists = "suffice"
)

// Action is one intent. Its fields are complete: the hands add nothing but the optimistic lock.
type Action struct {
	Verb  Verb
	Phase Phase
	// Object is what to create, or the object as it was observed; it is never changed in place.
	Object Object
	// IfExists says what becomes of a Create whose name is taken; other verbs do not look at it.
	IfExists IfExists
	// Locked says that a Delete is right only while the object is as it was observed, to its resourceVersion: what somebody has written to it since,
	// such as a label that a hook waits for, defers the Action. Otherwise the UID alone is asked for. A Patch says so for each Change.
	Locked bool
	// Changes are the writes of a Patch, in order. The second waits for the first, and is not made if that fails.
	Changes []Change
	// First are performed before this action, one after the other: what it cannot do without, such as the volumes of a Pod. The first that
	// fails, or is deferred, keeps the rest and this action from being begun.
	First []Action
	// Then are performed after this action has succeeded, each whatever becomes of the others: what must not outlive its object.
	Then []Action
	// Step orders actions: all of one step end before the next begins. A failure stops later steps.
	Step int
	// Done is emitted after the last write succeeded.
	Done Event
	// Failed is emitted when a write failed. Its message says by TheError and TheObject where the error and the object go. What is deferred has not failed.
	Failed Event
}

// Change is one write of a Patch action: a strategic merge patch. The hands add the object's UID and, but for an
// unlocked one, the last known resourceVersion to it.
type Change struct {
	// Subresource is empty for the object itself, or "status", "resize".
	Subresource string
	// Patch is the JSON of a strategic merge patch, without metadata.uid and metadata.resourceVersion.
	Patch []byte
	// Unlocked says that the write is right whatever others have changed on the object since it was observed, so no resourceVersion is asked for.
	Unlocked bool
}
