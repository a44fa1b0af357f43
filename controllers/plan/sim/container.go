// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startContainer starts a container. An image that is missing is waited for; the status goes on to show the container before.
func (w *World) startContainer(pod *corev1.Pod, spec *corev1.Container) {
	c := w.containerOf(pod, spec.Name)
	image, env := c.pulling, c.pullingEnv
	if image == "" || w.Kubelets == Prompt {
		image, env = spec.Image, envOf(pod, spec)
	}
	c.pulling = ""
	if w.Images[image].Missing {
		c.backsOff, c.backsOffEnv = image, env
		w.report(pod, spec.Name, func(s *corev1.ContainerStatus) {
			if s.State.Terminated != nil {
				s.LastTerminationState = corev1.ContainerState{Terminated: s.State.Terminated}
			}
			s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image: " + image}}
			s.Ready = false
		})
		w.tell("kubelet", "cannot pull %s for %s/%s", image, pod.Name, spec.Name)
		return
	}
	c.started, c.last, c.backsOff, c.env = image, image, "", env
	if c.starts++; c.starts == 1 {
		c.allocated = spec.Resources
	}
	c.resources = c.allocated
	digest := w.Images[image].Digest
	if digest == "" {
		digest = image
	}
	w.report(pod, spec.Name, func(s *corev1.ContainerStatus) {
		s.Image, s.ImageID = image, "sha256:"+digest
		s.ContainerID = containerID(pod, spec.Name, c.starts)
		s.RestartCount = int32(c.starts - 1)
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: w.stamp()}}
		s.Resources = c.resources.DeepCopy()
	})
	w.tell("kubelet", "starts %s/%s with %s (restarts %d)", pod.Name, spec.Name, image, c.starts-1)
}

// stopContainer ends a container whose image has changed in the spec, or one that restarts for its new resources, and notes what to start instead.
func (w *World) stopContainer(pod *corev1.Pod, spec *corev1.Container, actor string) {
	c := w.containerOf(pod, spec.Name)
	c.started, c.backsOff, c.pulling, c.pullingEnv = "", "", spec.Image, envOf(pod, spec)
	w.report(pod, spec.Name, func(s *corev1.ContainerStatus) { terminated(s, w.stamp(), 0) })
	w.tell(actor, "stops %s/%s", pod.Name, spec.Name)
}

func (w *World) crashContainer(pod *corev1.Pod, spec *corev1.Container) {
	c := w.containerOf(pod, spec.Name)
	c.backsOff, c.backsOffEnv, c.started = c.started, c.env, ""
	w.report(pod, spec.Name, func(s *corev1.ContainerStatus) {
		terminated(s, w.stamp(), 1)
		s.LastTerminationState, s.State = s.State, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff", Message: fmt.Sprintf("back-off %ds restarting failed container=%s pod=%s_%s(%s)", 10*c.starts, spec.Name, pod.Name, pod.Namespace, pod.UID),
		}}
	})
	w.tell("kubelet", "sees %s/%s crash", pod.Name, spec.Name)
}

func terminated(s *corev1.ContainerStatus, at metav1.Time, exitCode int32) {
	s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, FinishedAt: at}}
	s.Ready = false
}

func (w *World) readyContainer(pod *corev1.Pod, name string) {
	w.report(pod, name, func(s *corev1.ContainerStatus) { s.Ready = true })
	w.tell("kubelet", "finds %s/%s ready", pod.Name, name)
}

// Falter makes a running container not ready for a while: its probe fails. It says whether there was one.
func (w *World) Falter(pod *corev1.Pod) bool {
	for _, c := range running(pod) {
		name := c.Name
		if pod.DeletionTimestamp == nil && isContainerReady(pod, name) {
			w.report(pod, name, func(s *corev1.ContainerStatus) { s.Ready = false })
			w.tell("kubelet", "finds %s/%s not ready", pod.Name, name)
			return true
		}
	}
	return false
}

// Restart ends a running container that nobody changed: its process has had enough, and the kubelet starts it again. It reports whether there was one.
func (w *World) Restart(pod *corev1.Pod) bool {
	for _, c := range running(pod) {
		if pod.DeletionTimestamp == nil && isContainerReady(pod, c.Name) {
			w.stopContainer(pod, c, "kubelet")
			return true
		}
	}
	return false
}

// Evict ends a Pod for good, as a node under pressure does: it stays, and counts no more.
func (w *World) Evict(name string) {
	w.Edit(name, func(pod *corev1.Pod) {
		pod.Status.Phase, pod.Status.Reason = corev1.PodFailed, "Evicted"
		for _, status := range statuses(pod) {
			terminated(status, w.stamp(), 137)
		}
		w.judge(pod)
	})
	w.tell("kubelet", "evicts %s", name)
}

// report writes the status of a Pod after something happened to one of its containers.
func (w *World) report(pod *corev1.Pod, name string, change func(*corev1.ContainerStatus)) {
	next := pod.DeepCopy()
	if len(next.Status.ContainerStatuses) == 0 {
		for _, c := range running(next) {
			list := &next.Status.ContainerStatuses
			if c.RestartPolicy != nil {
				list = &next.Status.InitContainerStatuses
			}
			*list = append(*list, corev1.ContainerStatus{
				Name: c.Name, Image: c.Image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
			})
		}
		start := w.stamp()
		next.Status.StartTime, next.Status.PodIP = &start, fmt.Sprintf("10.0.0.%d", w.version%250+1)
	}
	if status := statusOfContainer(next, name); status != nil {
		change(status)
	}
	next.Status.Phase = phaseOf(next)
	w.judge(next)
	w.store(next)
}

// phaseOf is Pending until every container has run once.
func phaseOf(pod *corev1.Pod) corev1.PodPhase {
	for _, s := range statuses(pod) {
		if s.State.Waiting != nil && s.LastTerminationState.Terminated == nil {
			return corev1.PodPending
		}
	}
	return corev1.PodRunning
}

// judge sets the conditions that the kubelet owns, and says whether they changed.
func (w *World) judge(pod *corev1.Pod) bool {
	if len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	containers := corev1.ConditionTrue
	for _, status := range statuses(pod) {
		if !status.Ready {
			containers = corev1.ConditionFalse
		}
	}
	ready := containers
	for _, gate := range pod.Spec.ReadinessGates {
		if statusOf(pod, gate.ConditionType) != corev1.ConditionTrue {
			ready = corev1.ConditionFalse
		}
	}
	changed := w.setCondition(pod, corev1.ContainersReady, containers)
	return w.setCondition(pod, corev1.PodReady, ready) || changed
}

func (w *World) setCondition(pod *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus) bool {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type != kind {
			continue
		}
		if c.Status == status {
			return false
		}
		*c = corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: w.stamp()}
		return true
	}
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: w.stamp()})
	return true
}
