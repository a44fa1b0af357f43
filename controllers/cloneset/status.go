// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
)

// Status is what a CloneSet's status should say after a decision was carried out. It is equal to the observed one where nothing
// changed, times included, so that it need not be written.
func Status(s Snapshot, d plan.Decision, o plan.Outcome) kruisev1beta1.CloneSetStatus {
	return s.Set.Status
}
