// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package order decides which Pod comes first: the first to be deleted when a workload shrinks, and the first to be updated.
//
// Both orders are part of the published contract. They are total: ties end with the name, so that the same Pods always give the
// same order.
package order
