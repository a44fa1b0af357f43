// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cloneset keeps a number of equal Pods running, and updates them in place.
//
//	controller.go   Reconcile: the walk from observe to report
//	observe.go      CloneSet, Pods, revisions -> Snapshot
//	selector.go     which orphans were the set's
//	plan.go         Snapshot -> Decision: the phases in their order
//	  view.go         what all phases derive from the Snapshot
//	  history.go      phase 1 and 5: the revision must be in the history before a Pod carries it; old ones go
//	  scale.go        phase 3: create and delete Pods
//	  claims.go       volume claims are made before their Pod and go after it; phase 5: what becomes of those of Pods that others deleted
//	  update.go       phase 2 and 4: advance what is under way, then bring more Pods to the wanted revision
//	  lifecycle.go    leads a Pod from one state of its life to the next, with what belongs to it, in one write
//	status.go       Snapshot + Outcome -> Status
//	  conditions.go   Ready, Reconciling, Stalled
//	  progress.go     the deadline for progress, and the condition Progressing
//	  resize.go       why a resize does not go on, or is refused
//	  urgency.go      what of a status cannot wait
//	events.go       event reasons
//
// All but controller.go and observe.go are pure.
//
// INVARIANT: what this package does never lets the available Pods fall below replicas - maxUnavailable.
// INVARIANT: what this package does never lets the Pods exceed replicas + maxSurge.
// INVARIANT: it never brings more Pods to the update revision than the partition lets it.
// INVARIANT: a Pod whose hook blocks is neither updated nor deleted.
// INVARIANT: a Pod is created only when all claims that its volumes name are there and stay.
// INVARIANT: no claim is deleted while a live Pod uses it, whomever that belongs to, and none that is kept for reuse, unless its Pod was deleted by the same hands.
// INVARIANT: no Pod gets the data of another, unless claims are reused.
package cloneset
