// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package revision keeps the history of a workload's template in ControllerRevisions, with the names and bytes that the published
// API has, so that both can read each other's history.
//
//	template ── New ──► wanted ─┐
//	history  ───────────────────┴─ Choose ──► update and current revision, and what to write
//	history + names in use ── Surplus ──► revisions to delete
package revision
