// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package claims decides about the volume claims (PersistentVolumeClaims) that a workload makes from templates, one of each for every Pod.
//
//	template data ─┐                        ┌─► claim data-web-a ─┐
//	template logs ─┴─ Workload ─ instance a ┴─► claim logs-web-a ─┴─ Bind ─► volumes of Pod web-a
//
// A claim and its Pod share an instance: an ID or an ordinal. What becomes of a claim depends on the Pod of that instance:
//
//	the Pod                              claims serve one Pod     claims are reused
//	counts                               stay                     stay
//	is about to go, or has ended         follow it                stay
//	is about to go, as its workload or
//	a user asked for                     follow it                follow it
//	lives on without its workload        follow it                follow it
//	is gone                              are deleted              are free for the next Pod
//
// A claim that follows a Pod is owned by it, and goes when the Pod goes.
package claims
