// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
)

// keepFacts is how a Pod is kept in memory: nothing is left of it but what Plan and the patch need, so that a node full of Pods costs little. What is not
// ours keeps its name alone.
func keepFacts(object any) (any, error) {
	pod, isPod := object.(*corev1.Pod)
	if !isPod {
		return object, nil
	}
	facts := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion, DeletionTimestamp: pod.DeletionTimestamp,
	}}
	if !IsManaged(pod) {
		return facts, nil
	}
	facts.OwnerReferences = pod.OwnerReferences
	facts.Annotations = map[string]string{}
	if text, found := pod.Annotations[pub.RuntimeContainerMetaKey]; found {
		facts.Annotations[pub.RuntimeContainerMetaKey] = text
	}
	if _, found := pod.Annotations[sidecarSetAnnotation]; found {
		facts.Annotations[sidecarSetAnnotation] = ""
	}
	facts.Status.Phase = pod.Status.Phase
	for i := range pod.Spec.Containers {
		facts.Spec.Containers = append(facts.Spec.Containers, corev1.Container{Name: pod.Spec.Containers[i].Name})
	}
	for _, c := range pod.Status.ContainerStatuses {
		facts.Status.ContainerStatuses = append(facts.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, ContainerID: c.ContainerID, RestartCount: c.RestartCount,
		})
	}
	return facts, nil
}

// isSame says that nothing has changed that could change the report: most events of a Pod are about its conditions.
func isSame(old, now *corev1.Pod) bool {
	return old.UID == now.UID && wantsReport(old) == wantsReport(now) &&
		equality.Semantic.DeepEqual(old.Annotations, now.Annotations) &&
		equality.Semantic.DeepEqual(old.Status.ContainerStatuses, now.Status.ContainerStatuses)
}
