// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package order decides which Pod comes first: the first to be deleted when a workload shrinks, and the first to be updated.
//
//	ForDelete   what serves least ──► lowest deletion cost ──► most crowded place (Spread) ──► youngest
//
//	ForUpdate   what serves least ──► Prioritize: the user's weights or label keys
//	                                      ──► Scatter: Pods with a label are spread over the whole update
//	                                              ──► those that wait in PreparingUpdate already go before all others
//
// Each arrow of ForUpdate keeps the order that it meets where it has nothing to say itself.
//
// The orders are part of the published contract. They are total: ties end with the name, so that the same Pods always give the
// same order.
package order
