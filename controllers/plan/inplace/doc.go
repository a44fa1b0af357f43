// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inplace is the engine of updates in place: it says whether a change of template can be made on a running Pod, writes the change,
// and says when the containers have followed.
//
//	old + new template ── Diff ──► Spec, Verdict             (once per pair of revisions)
//	Pod + Target ── Begin ──► drain, then spec               (two writes; one with a grace period, or when no container restarts)
//	Pod ── Next ──► wait | apply what was held back | finish (one write each)
//
// The steps of one Pod, and what is on it meanwhile:
//
//	                InPlaceUpdateReady   state      images
//	before          True                 Normal     old
//	drain           False                Normal     old      endpoints drop the Pod
//	spec            False                Updating   new      the kubelet restarts the changed containers
//	finish          True                 Normal     new
//
// Every step is derived from the Pod: whoever dies between two of them, the next plan goes on from what it sees.
//
// INVARIANT: never two in-place changes on one Pod at once.
package inplace
