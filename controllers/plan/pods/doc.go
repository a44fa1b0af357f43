// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pods turns Pods into Facts, the only view of a Pod that decisions look at, and builds new Pods from a template.
//
//	*corev1.Pod ── Read ──► *Facts ──► availability, hooks, order, rollout
//	template + Identity ── Build ──► *corev1.Pod
//
// Facts are computed once per UID and resourceVersion and never change afterwards.
package pods
