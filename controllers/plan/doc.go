// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plan holds the words in which Keelson thinks. Everything below this folder decides and does nothing: it has no
// client, clock, log, context or randomness. What looks like it needs chance or time is an input, so that a plan can be
// replayed.
//
//	Facts ──► Snapshot ──► Plan ──► Decision{Actions, Wake, Notes} ──► (loop/apply) ──► Outcome ──► Status
//
// A yes or no that a user could question is a Verdict, never a bare bool.
package plan
