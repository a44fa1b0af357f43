// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"k8s.io/utils/ptr"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// isUrgent says that a status tells more than other numbers: a generation that was seen, another revision, or a condition that says something else.
// Somebody may wait for that; the numbers of a rollout may be written together.
func isUrgent(old, now *kruisev1beta1.CloneSetStatus) bool {
	if now.ObservedGeneration != old.ObservedGeneration || now.UpdateRevision != old.UpdateRevision || now.CurrentRevision != old.CurrentRevision ||
		!ptr.Equal(now.CollisionCount, old.CollisionCount) || len(now.Conditions) != len(old.Conditions) {
		return true
	}
	for i := range now.Conditions {
		was, is := &old.Conditions[i], &now.Conditions[i]
		if was.Type != is.Type || was.Status != is.Status || was.Reason != is.Reason {
			return true
		}
	}
	return false
}
