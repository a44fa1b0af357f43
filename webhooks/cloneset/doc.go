// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cloneset refuses CloneSets that the schema cannot refuse: a selector that does not match the template, and a template that the cluster would not
// take. Everything else is said in the CRD, where it holds while this program is down.
package cloneset
