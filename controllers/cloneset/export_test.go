// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

// WasOurs lets the simulation adopt as the hands do.
var WasOurs = wasOurs
