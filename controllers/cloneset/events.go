// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/controllers/plan"
)

// Reasons of events. COMPAT: all but the last three are published, and so are their messages.
const (
	eventSuccessfulCreate           = "SuccessfulCreate"
	eventFailedCreate               = "FailedCreate"
	eventSuccessfulDelete           = "SuccessfulDelete"
	eventFailedDelete               = "FailedDelete"
	eventFailedUpdate               = "FailedUpdate"
	eventSuccessfulUpdatePodInPlace = "SuccessfulUpdatePodInPlace"
	eventFailedUpdatePodInPlace     = "FailedUpdatePodInPlace"
	eventSuccessfulUpdateReCreate   = "SuccessfulUpdatePodReCreate"
	eventFailedUpdateReCreate       = "FailedUpdatePodReCreate"
	eventScaleUpLimited             = "ScaleUpLimited"
	eventInPlaceImpossible          = "InPlaceUpdateImpossible"
	eventBrokenAnnotation           = "BrokenAnnotationRemoved"
	eventFailedRelease              = "FailedRelease"
)

func normal(reason, message string) plan.Event {
	return plan.Event{Type: corev1.EventTypeNormal, Reason: reason, Message: message}
}

func warning(reason, message string) plan.Event {
	return plan.Event{Type: corev1.EventTypeWarning, Reason: reason, Message: message}
}

func createdPod(pod string) plan.Event {
	return normal(eventSuccessfulCreate, "succeed to create pod "+pod)
}

func createFailed() plan.Event {
	return warning(eventFailedCreate, "failed to create pod: "+plan.TheError+", pod: "+plan.TheObject)
}

func deletedPod(pod string) plan.Event {
	return normal(eventSuccessfulDelete, "succeed to delete pod "+pod)
}

func deleteFailed(pod string) plan.Event {
	return warning(eventFailedDelete, "failed to delete pod "+pod+": "+plan.TheError)
}

func createClaimFailed() plan.Event {
	return warning(eventFailedCreate, "failed to create pvc: "+plan.TheError+", pvc: "+plan.TheObject)
}

// deleteClaimFailed is about a claim that goes with a Pod which the set deletes, cleanClaimFailed about one whose Pod others deleted.
func deleteClaimFailed(claim string) plan.Event {
	return warning(eventFailedDelete, "failed to delete pvc "+claim+": "+plan.TheError)
}

func cleanClaimFailed(claim string) plan.Event {
	return warning(eventFailedDelete, "failed to clean up PVC "+claim+": "+plan.TheError)
}

func updateClaimFailed(claim string) plan.Event {
	return warning(eventFailedUpdate, "failed to update PVC "+claim+": "+plan.TheError)
}

func updatedInPlace(pod, revision string) plan.Event {
	return normal(eventSuccessfulUpdatePodInPlace, "successfully update pod "+pod+" in-place(revision "+revision+")")
}

func updateInPlaceFailed(pod, revision string) plan.Event {
	return warning(eventFailedUpdatePodInPlace, "failed to update pod "+pod+" in-place(revision "+revision+"): "+plan.TheError)
}

func updatedByRecreation(pod, revision string) plan.Event {
	return normal(eventSuccessfulUpdateReCreate, "successfully patch pod "+pod+" specified-delete for update(revision "+revision+")")
}

func recreateFailed(pod, revision string) plan.Event {
	return warning(eventFailedUpdateReCreate, "failed to patch pod specified-delete "+pod+" for update(revision "+revision+"): "+plan.TheError)
}

func releaseFailed(pod, why string) plan.Event {
	return warning(eventFailedRelease, "pod "+pod+" does not match the selector any more, and could not be released: "+why)
}

func scaleUpLimited(limit int) plan.Event {
	return warning(eventScaleUpLimited, fmt.Sprintf("scaleUp is limited because of scaleStrategy.maxUnavailable, limit: %d", limit))
}

func inPlaceImpossible(why string) plan.Event { return warning(eventInPlaceImpossible, why) }

func brokenAnnotation(pod, key, problem string) plan.Event {
	return warning(eventBrokenAnnotation, fmt.Sprintf("removed annotation %s of pod %s, which could not be read: %s", key, pod, problem))
}
