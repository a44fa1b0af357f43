// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package convert takes objects from one served version to another. It works on JSON and never on Go types, so that what it
// does not know, above all the Pod template, passes through untouched; and it needs nothing but the object.
//
// Two versions cannot always say the same. What one says and the other cannot is left in an annotation of the other, as the
// difference between the object and what its translation would be translated back to:
//
//	v1beta1 ──translate──> v1alpha1 ──translate──> v1beta1'
//	   └────────── difference ───────────────────────┘
//	                    │
//	                    └─> v1alpha1 annotation apps.kruise.io/v1beta1-fields
//
// On the way back the annotation is removed, and the difference is applied where it still fits: where it does not change what
// the object means in the version it comes from. So an edit made in the other version always wins over what was kept.
//
// INVARIANT: there and back again gives the object that was there, whichever version it was written in, if the schema of that version takes it.
// INVARIANT: what an annotation of ours says never changes the meaning of an object in the version that carries it.
package convert
