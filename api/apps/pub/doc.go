// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pub is the contract between Keelson, the Pods that it manages and the tools around them: the labels,
// annotations and conditions on a Pod, and the sub-types that several kinds share. All names and JSON shapes are those of
// the published OpenKruise API, so Pods that were written by it are read, and the other way round.
//
// +kubebuilder:object:generate=true
package pub
