// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gates holds every feature gate as one table and decides which are enabled. It knows no global state: each
// program reads its settings, resolves them once, and hands plain booleans to the code that needs them.
//
//	--feature-gates=A=true,B=false   ParseFlag ─┐
//	                                            ├─ one map, the flag wins ─ Resolve ─> Set ─ Enabled(gate)
//	<dir>/A, <dir>/B                 ParseDir ──┘
//
// Gates that are published but switch nothing here are in the table too, so that the settings of a cluster that was taken over are understood: those of
// features that are not built yet may be false and nothing else, and settled ones may be what they like, which is told.
//
// A gate is explicit when a user set it by its own name; else its value is a default, from its group (AllAlpha, AllBeta)
// or from the table. A default that another gate contradicts gives way to it, and the Set notes why. An explicit gate
// never gives way: what contradicts it is an error that names both gates and the rule.
package gates
