// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/inplace"
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
	isFollowing := false
	for _, c := range inplace.LongRunning(&pod.Spec) {
		isFollowing = isFollowing || inplace.FollowsMetadata(c)
		keepContainer(facts, c)
	}
	facts.Status.ContainerStatuses = keepStatuses(pod.Status.ContainerStatuses)
	facts.Status.InitContainerStatuses = keepStatuses(pod.Status.InitContainerStatuses)
	if isFollowing {
		keepUpdate(facts, pod)
	}
	return facts, nil
}

// keepContainer keeps the name of a container, and of one that follows metadata how it does that and how it is stopped.
func keepContainer(facts *corev1.Pod, c *corev1.Container) {
	kept := corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy}
	if inplace.FollowsMetadata(c) {
		kept.Env = slices.DeleteFunc(slices.Clone(c.Env), func(v corev1.EnvVar) bool { return v.ValueFrom == nil || v.ValueFrom.FieldRef == nil })
		kept.Lifecycle, kept.Ports = c.Lifecycle, c.Ports
	}
	if c.RestartPolicy != nil {
		facts.Spec.InitContainers = append(facts.Spec.InitContainers, kept)
	} else {
		facts.Spec.Containers = append(facts.Spec.Containers, kept)
	}
}

func keepStatuses(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	var kept []corev1.ContainerStatus
	for i := range all {
		kept = append(kept, corev1.ContainerStatus{Name: all[i].Name, ContainerID: all[i].ContainerID, RestartCount: all[i].RestartCount})
	}
	return kept
}

// keepUpdate keeps what says how far an update in place of a Pod is, and the metadata that its containers follow.
func keepUpdate(facts, pod *corev1.Pod) {
	facts.Labels = map[string]string{}
	for _, key := range []string{pub.LifecycleStateKey, appsv1.ControllerRevisionHashLabelKey} {
		facts.Labels[key] = pod.Labels[key]
	}
	if state, found := pod.Annotations[pub.InPlaceUpdateStateKey]; found {
		facts.Annotations[pub.InPlaceUpdateStateKey] = state
	}
	for _, c := range inplace.LongRunning(&pod.Spec) {
		inplace.CopyFollowed(c, facts, pod)
	}
	facts.Spec.TerminationGracePeriodSeconds = pod.Spec.TerminationGracePeriodSeconds
	facts.Status.PodIP, facts.Status.PodIPs = pod.Status.PodIP, pod.Status.PodIPs
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == pub.InPlaceUpdateReady {
			c := corev1.PodCondition{Type: pub.InPlaceUpdateReady, Status: pod.Status.Conditions[i].Status}
			facts.Status.Conditions = append(facts.Status.Conditions, c)
		}
	}
}

// isSame says that nothing has changed that could change the report or call for a restart: most events of a Pod are about its conditions.
func isSame(old, now *corev1.Pod) bool {
	return old.UID == now.UID && wantsReport(old) == wantsReport(now) &&
		equality.Semantic.DeepEqual(old.Annotations, now.Annotations) &&
		equality.Semantic.DeepEqual(old.Labels, now.Labels) &&
		equality.Semantic.DeepEqual(old.Status.Conditions, now.Status.Conditions) &&
		equality.Semantic.DeepEqual(old.Status.InitContainerStatuses, now.Status.InitContainerStatuses) &&
		equality.Semantic.DeepEqual(old.Status.ContainerStatuses, now.Status.ContainerStatuses)
}
