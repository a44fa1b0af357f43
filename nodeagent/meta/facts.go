// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/inplace"
)

const (
	// maxFacts is how many bytes are kept of one Pod, and of its report beside that. Tenants decide how large their Pods are, and the agent is small; what restarting
	// the containers of a Pod takes is some hundred bytes as a rule.
	maxFacts = 64 << 10
	// unreadable stands for a report that is longer. As it cannot be read, it is replaced.
	unreadable = "too large to be kept"
	// tooLarge marks the facts of a Pod of which more would have had to be kept. It is no annotation of the Pod.
	tooLarge = "too large to restart"
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
	if owner := metav1.GetControllerOf(pod); owner != nil {
		facts.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	facts.Annotations = map[string]string{}
	if text, found := pod.Annotations[pub.RuntimeContainerMetaKey]; found {
		if len(text) > maxFacts {
			text = unreadable
		}
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
		dropWhatIsTooLarge(facts)
	}
	return facts, nil
}

// dropWhatIsTooLarge leaves of the containers of a Pod their names alone when what is kept of it is too much, and marks the Pod.
func dropWhatIsTooLarge(facts *corev1.Pod) {
	size := 0
	for _, metadata := range []map[string]string{facts.Labels, facts.Annotations} {
		for key, value := range metadata {
			size += len(key) + len(value)
		}
	}
	containers := inplace.LongRunning(&facts.Spec)
	for _, c := range containers {
		size += c.Size()
	}
	if size <= maxFacts {
		return
	}
	kept := map[string]string{tooLarge: ""}
	for _, key := range []string{pub.RuntimeContainerMetaKey, sidecarSetAnnotation} {
		if value, found := facts.Annotations[key]; found {
			kept[key] = value
		}
	}
	facts.Labels, facts.Annotations = nil, kept
	for _, c := range containers {
		*c = corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy}
	}
}

// isTooLarge says that the containers of a Pod are not restarted for their environment, because what it takes was too much to keep.
func isTooLarge(facts *corev1.Pod) bool {
	_, found := facts.Annotations[tooLarge]
	return found
}

// keepContainer keeps the name of a container, and of one that follows metadata how it does that and how it is stopped.
func keepContainer(facts *corev1.Pod, c *corev1.Container) {
	kept := corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy}
	if inplace.FollowsMetadata(c) {
		for i := range c.Env {
			if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
				kept.Env = append(kept.Env, c.Env[i])
			}
		}
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
