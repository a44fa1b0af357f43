// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the older served version of the group apps.kruise.io. It is converted to and from v1beta1, which is stored.
//
// +kubebuilder:object:generate=true
// +groupName=apps.kruise.io
package v1alpha1
