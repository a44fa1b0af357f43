// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle moves a Pod through the states of its life, and asks the user's hooks on the way.
//
//	(new) ─► PreparingNormal ─► Normal ─► PreparingUpdate ─► Updating ─► Updated ─► Normal
//	                               └────► PreparingDelete ─► (deleted)
//
// A hook blocks deletion and the start of an update while any of its labels or finalizers is on the Pod; it must be set whole before a
// Pod becomes Normal.
//
//	from                       when                                                          to
//	PreparingNormal            no preNormal hook and a node; or the preNormal hook is set    Normal
//	Normal, PreparingNormal    an update is due, the inPlaceUpdate hook blocks               PreparingUpdate
//	Normal, PreparingNormal    an update is due, nothing blocks                              Updating
//	PreparingUpdate            the hook lets go                                              Updating
//	PreparingUpdate            the update is not due any more                                Updated, or Normal where the hook is set
//	Updating                   the containers follow                                         Updated, or Normal where the hook is set
//	Updated                    the hook is set, or there is none                             Normal
//	Updated                    another update is due                                         PreparingUpdate; the hook is set with it
//	any                        the deletion is due, the preDelete hook blocks                PreparingDelete
//	PreparingDelete            the hook lets go                                              deleted
//	PreparingDelete            the Pod is needed again, no hook marks its Pods not ready     PreparingNormal
//
// A hook with markPodNotReady holds the condition KruisePodReady while the Pod waits for it, in the same write as the state.
package lifecycle
