// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sim is a fake world for tests of plans. It holds Pods, ControllerRevisions and volume claims, performs Decisions as the hands do against a real API
// server, and plays scheduler and kubelet one small step at a time. A story drives it step by step, a seed drives it at random; both are
// watched by the invariants.
//
//	Play ── Pass ──► Controller.Plan ──► World.Perform ──► Controller.Report      (each write is shown to the invariants)
//	     ── Take ──► scheduler or kubelet does one thing to one Pod
//	     ── Wait ──► the clock moves, and nothing else
//
// It knows no kind: what is kind-specific enters through Controller. Nothing in it is random by itself; chance is an input.
//
// Caches show the world late, each kind for itself. A test that uses them brings what keeps plans from them: loop/inflight, which is told of writes through Memory.
//
// What it leaves out on purpose: writes of others between the writes of one pass (they show as conflicts, which can be injected), and that
// the hands make the changes and the creations of one step side by side: here the changes come first.
package sim
