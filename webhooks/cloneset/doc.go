// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cloneset refuses CloneSets that the schema cannot refuse, and warns of updates that will not go as their policy hopes.
//
//	request ──► validateKept: annotations of conversion (in the version that was written)
//	               ▼ as v1beta1
//	            validate: selector, claims, weights    (pure; only what the update touches)
//	               ▼
//	            checkTemplate: ask the cluster by a dry run of a PodTemplate; its answer, with the fields named as in the CloneSet.
//	                           What it says of anything but the template, as others' admission policies do, is a warning
//	               ▼
//	            warn: does the change recreate Pods that were to be updated in place?
//
// Everything else is said in the CRD, where it holds while this program is down. Nothing is ever written into the object: there are no defaults here.
package cloneset
