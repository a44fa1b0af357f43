// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/controllers/plan"
)

// Holder says what became of the Pod that a claim was made for.
type Holder string

const (
	// Gone says that there is no Pod of that instance.
	Gone Holder = ""
	// Counting says that the Pod is there and is neither terminating nor ended.
	Counting Holder = "counting"
	// Leaving says that the Pod is terminating or has ended, and nobody of the workload asked for that.
	Leaving Holder = "leaving"
	// Dismissed says that the Pod is terminating because its workload or a user wanted to be rid of it, so that nobody is to have its data.
	Dismissed Holder = "dismissed"
	// Released says that the Pod is there, but does not belong to the workload any more.
	Released Holder = "released"
)

// Fate is what has to be done with a claim.
type Fate string

const (
	// Stay leaves the claim as it is.
	Stay Fate = ""
	// Follow makes the Pod the owner of the claim, so that they go together.
	Follow Fate = "follow"
	// Free leaves the claim for the next Pod.
	Free Fate = "free"
	// Drop deletes the claim.
	Drop Fate = "drop"
)

// Policy is what a workload wants done with the claims of Pods that go without being asked to.
type Policy struct {
	// Reuse keeps their claims for other Pods.
	Reuse bool
}

// Fate decides what becomes of a claim that is not being deleted.
func (p Policy) Fate(h Holder) Fate {
	switch {
	case h == Counting, h == Leaving && p.Reuse:
		return Stay
	case h != Gone:
		return Follow
	case p.Reuse:
		return Free
	default:
		return Drop
	}
}

// HandOver makes Pods the owners of a claim instead of a workload: it goes with the last of them.
func HandOver(from types.UID, to ...*corev1.Pod) plan.Change {
	owners := []map[string]any{{"$patch": "delete", "uid": from}}
	for _, pod := range to {
		// NOTE: without blockOwnerDeletion, which would ask for a permission on the Pod's finalizers.
		owner := map[string]any{"apiVersion": "v1", "kind": "Pod", "name": pod.Name, "uid": pod.UID}
		if len(to) == 1 {
			// COMPAT: published. Of several none controls it.
			owner["controller"] = true
		}
		owners = append(owners, owner)
	}
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": owners}})
	if err != nil {
		// NOTE: names and UIDs always encode.
		panic(err)
	}
	return plan.Change{Patch: raw}
}
