// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1beta1 is the stored version of the group apps.kruise.io, and the hub that other versions convert to and from.
//
// +kubebuilder:object:generate=true
// +groupName=apps.kruise.io
package v1beta1
