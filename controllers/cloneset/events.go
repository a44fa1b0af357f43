// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/controllers/plan"
)

// Reasons of events. COMPAT: all but the last two are published.
const (
	eventSuccessfulCreate           = "SuccessfulCreate"
	eventFailedCreate               = "FailedCreate"
	eventSuccessfulDelete           = "SuccessfulDelete"
	eventFailedDelete               = "FailedDelete"
	eventSuccessfulUpdatePodInPlace = "SuccessfulUpdatePodInPlace"
	eventFailedUpdatePodInPlace     = "FailedUpdatePodInPlace"
	eventSuccessfulUpdateReCreate   = "SuccessfulUpdatePodReCreate"
	eventFailedUpdateReCreate       = "FailedUpdatePodReCreate"
	eventScaleUpLimited             = "ScaleUpLimited"
	eventInPlaceImpossible          = "InPlaceUpdateImpossible"
	eventBrokenAnnotation           = "BrokenAnnotationRemoved"
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

func createFailed(pod string) plan.Event {
	return warning(eventFailedCreate, "failed to create pod "+pod)
}

func deletedPod(pod string) plan.Event {
	return normal(eventSuccessfulDelete, "succeed to delete pod "+pod)
}

func deleteFailed(pod string) plan.Event {
	return warning(eventFailedDelete, "failed to delete pod "+pod)
}

func createClaimFailed(claim string) plan.Event {
	return warning(eventFailedCreate, "failed to create pvc "+claim)
}

func deletedClaim(claim string) plan.Event {
	return normal(eventSuccessfulDelete, "succeed to delete pvc "+claim)
}

func deleteClaimFailed(claim string) plan.Event {
	return warning(eventFailedDelete, "failed to delete pvc "+claim)
}

func updatedInPlace(pod, revision string) plan.Event {
	return normal(eventSuccessfulUpdatePodInPlace, "successfully update pod "+pod+" in-place(revision "+revision+")")
}

func updateInPlaceFailed(pod string) plan.Event {
	return warning(eventFailedUpdatePodInPlace, "failed to update pod "+pod+" in-place")
}

func updatedByRecreation(pod string) plan.Event {
	return normal(eventSuccessfulUpdateReCreate, "successfully mark pod "+pod+" for recreation")
}

func recreateFailed(pod string) plan.Event {
	return warning(eventFailedUpdateReCreate, "failed to mark pod "+pod+" for recreation")
}

func scaleUpLimited(now, wanted int) plan.Event {
	return warning(eventScaleUpLimited, fmt.Sprintf("scale up is limited to %d of %d pods because of scaleStrategy.maxUnavailable", now, wanted))
}

func inPlaceImpossible(why string) plan.Event { return warning(eventInPlaceImpossible, why) }

func brokenAnnotation(pod, key, problem string) plan.Event {
	return warning(eventBrokenAnnotation, fmt.Sprintf("removed annotation %s of pod %s, which could not be read: %s", key, pod, problem))
}
