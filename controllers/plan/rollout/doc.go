// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout does the arithmetic of a workload without ordinals: how many Pods to create, to delete and to update now, at which
// revision, and how many of them may be taken out of service.
//
//	replicas 5, partition 2, maxSurge 1, maxUnavailable 1; three Pods are new, two are old
//	 => nothing to do: 3 = 5 - 2 are updated, and without a pending update there is no surge
//
//	the same with one new and four old Pods
//	 => two to update; one more Pod is created first (surge), then one Pod at a time may become unavailable
//
// INVARIANT: what Calculate allows never lets the available Pods fall below replicas - maxUnavailable.
// INVARIANT: what Calculate allows never lets the Pods exceed replicas + maxSurge.
package rollout
