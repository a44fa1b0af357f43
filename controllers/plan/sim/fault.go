// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keelson/keelson/controllers/plan"
)

// Fault is what goes wrong with one write.
type Fault string

const (
	// Conflict refuses the write: somebody else wrote to the object meanwhile.
	Conflict Fault = "conflict"
	// Refusal refuses the write: an admission plug-in, such as a quota, forbids it.
	Refusal Fault = "refusal"
	// LostAnswer makes the write, and lets the controllers believe that it failed.
	LostAnswer Fault = "lost answer"
	// Kill ends the controllers before the write; nothing after it is done or reported.
	Kill Fault = "kill"
	// StatusRefusal refuses the write of a status.
	StatusRefusal Fault = "status refusal"
	// None lets the write pass; it stands for the writes before the one that is to go wrong.
	None Fault = ""
)

// Faults says how many of a thousand writes go wrong, by fault.
type Faults map[Fault]int

// Inject makes the next writes go wrong, one fault for each write.
func (w *World) Inject(faults ...Fault) { w.next = append(w.next, faults...) }

// strike says what goes wrong with the write that is about to be made.
func (w *World) strike() Fault {
	if len(w.next) > 0 {
		fault := w.next[0]
		w.next = w.next[1:]
		return fault
	}
	if w.Chance == nil || len(w.Faults) == 0 {
		return None
	}
	n := w.Chance.IntN(1000)
	for _, fault := range []Fault{Conflict, Refusal, LostAnswer, Kill} {
		if n -= w.Faults[fault]; n < 0 {
			return fault
		}
	}
	return None
}

// losesStatus says whether the status that is about to be written is refused.
func (w *World) losesStatus() bool {
	if w.Chance == nil || w.Faults[StatusRefusal] == 0 || w.Chance.IntN(1000) >= w.Faults[StatusRefusal] {
		return false
	}
	w.tell("controllers", "fail to write the status")
	return true
}

var errLostAnswer = errors.New("the connection was lost before the answer came")

// errorFor is the error that a fault gives to the hands.
func errorFor(fault Fault, object plan.Object) error {
	switch fault {
	case Conflict:
		return apierrors.NewConflict(resourceOf(object), object.GetName(), errors.New("the object has been modified"))
	case Refusal:
		return apierrors.NewForbidden(resourceOf(object), object.GetName(), errors.New("exceeded quota"))
	default:
		return nil
	}
}

func resourceOf(object plan.Object) schema.GroupResource {
	switch object.(type) {
	case *corev1.Pod:
		return schema.GroupResource{Resource: "pods"}
	case *appsv1.ControllerRevision:
		return schema.GroupResource{Group: "apps", Resource: "controllerrevisions"}
	case *corev1.PersistentVolumeClaim:
		return schema.GroupResource{Resource: "persistentvolumeclaims"}
	default:
		return schema.GroupResource{Resource: "objects"}
	}
}

// isThere reports whether an object need not be created, as the hands judge it.
func isThere(a plan.Action, err error) bool {
	return a.Verb == plan.Create && a.IfExists == plan.ExistsSuffices && apierrors.IsAlreadyExists(err)
}

// deferralOf says why a write that did not succeed is left to the next plan, as the hands judge it; empty for a failure.
func deferralOf(a plan.Action, err error) plan.DeferralReason {
	switch {
	case apierrors.IsAlreadyExists(err) && a.Verb == plan.Create && a.IfExists == plan.ExistsDefers:
		return plan.NameTaken
	case apierrors.IsConflict(err):
		return plan.Superseded
	case apierrors.IsNotFound(err):
		return plan.ObjectGone
	default:
		return ""
	}
}

// shuffled is the order in which concurrent actions happen to be performed.
func (w *World) shuffled(actions []plan.Action) []plan.Action {
	out := slices.Clone(actions)
	if w.Chance == nil {
		return out
	}
	for i := len(out) - 1; i > 0; i-- {
		j := w.Chance.IntN(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}
