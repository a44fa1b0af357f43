// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// Snapshot is all that one plan of a CloneSet looks at.
type Snapshot struct {
	// Set is the CloneSet as observed. It is shared with the cache: never write to it.
	Set *kruisev1beta1.CloneSet
	// Pods are the Facts of all Pods that the set controls, terminating and ended ones too, in any order.
	Pods []*pods.Facts
	// Revisions are the ControllerRevisions that the set controls, in any order. They are shared with the cache.
	Revisions []*appsv1.ControllerRevision
	// Wanted is the revision of the template as it is now; nil lets the plan encode it.
	Wanted *appsv1.ControllerRevision
	// Claims are the PersistentVolumeClaims that the set controls, in any order. They are shared with the cache.
	Claims []*corev1.PersistentVolumeClaim
	// Released are Pods by the names that the set would give them, by instance ID, that it does not control, while it controls claims of that ID.
	Released map[string]*pods.Facts
	// Borrowers are Pods that the set does not control and that use a claim of it, by the claim's name: Pods that somebody took out of the set, or others that mount
	// the same volume.
	Borrowers map[string][]*corev1.Pod
	// IsLive says that all this was read from the API server. What a cache shows may be older: it may not show what there is.
	IsLive bool
	// Unreleased are Pods that the set controls, that its selector does not match any more, and that could not be let go, with why.
	Unreleased map[string]error
	// FreshIDs are unused instance IDs for new Pods; no more Pods than this are created at once, but for those that take over claims.
	FreshIDs []string
	// Policy holds the feature gates.
	Policy plan.Policy
	// Now is the time of the observation.
	Now time.Time
}

// Plan decides what to do next. The phases run in this order. Scaling and updating share no pass, because each counts on the Pods that the other leaves alone; but while
// scaling fails, for a quota or a policy, what can be updated is.
func Plan(s Snapshot) plan.Decision { return Look(s).Plan() }

// Pass is one look at a CloneSet, from which both the plan and the status are derived.
type Pass struct {
	snapshot Snapshot
	view     *view
	err      error
}

// Look derives what a plan and a status share.
func Look(s Snapshot) Pass {
	if s.Set.DeletionTimestamp != nil {
		return Pass{snapshot: s}
	}
	v, err := look(s)
	return Pass{snapshot: s, view: v, err: err}
}

// Plan decides what to do next; see the function of that name.
func (p Pass) Plan() plan.Decision {
	var d plan.Decision
	if p.err != nil {
		d.Note(reasonInvalid, p.err.Error())
		return d
	}
	v := p.view
	if v == nil {
		return d
	}
	v.explain(&d)
	v.explainResize(&d)
	v.explainLimit(&d)
	if v.keepRevision(&d) {
		return d
	}
	v.refresh(&d)
	if !v.scale(&d) || v.scalingFails() {
		v.update(&d)
		v.heal(&d)
		v.label(&d)
	}
	v.explainUnreleased(&d)
	v.askAgain(&d)
	v.settleClaims(&d)
	v.truncateHistory(&d)
	v.wake(&d)
	return d
}
