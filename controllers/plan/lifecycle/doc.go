// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle moves a Pod through the states of its life, and asks the user's hooks on the way.
//
//	(new) ─► PreparingNormal ─► Normal ─► PreparingUpdate ─► Updating ─► Updated ─► Normal
//	                               └────► PreparingDelete ─► (deleted)
//
// A hook blocks deletion and the start of an update while any of its labels or finalizers is on the Pod; it must be set whole before a
// Pod becomes Normal.
package lifecycle
