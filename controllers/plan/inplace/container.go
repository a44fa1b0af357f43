// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// LongRunning are the containers that run as long as their Pod: native sidecars first, then the containers proper.
func LongRunning(spec *corev1.PodSpec) []*corev1.Container {
	all := make([]*corev1.Container, 0, len(spec.Containers))
	for i := range spec.InitContainers {
		if isSidecar(&spec.InitContainers[i]) {
			all = append(all, &spec.InitContainers[i])
		}
	}
	for i := range spec.Containers {
		all = append(all, &spec.Containers[i])
	}
	return all
}

// isSidecar says that an init container is a native sidecar: it goes on beside the containers proper.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func container(pod *corev1.Pod, name string) *corev1.Container {
	for _, c := range LongRunning(&pod.Spec) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// isInit says that a container of the Pod is among its init containers.
func isInit(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return true
		}
	}
	return false
}

func containerStatus(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// isStopped says that a container does not run now.
func isStopped(status *corev1.ContainerStatus) bool {
	return status.State.Waiting != nil || status.State.Terminated != nil
}

// isSameImage compares names of images as runtimes spell them: with the default registry and tag written out.
func isSameImage(a, b string) bool { return a != "" && fullImage(a) == fullImage(b) }

func fullImage(image string) string {
	for _, prefix := range []string{"docker.io/", "library/"} {
		image = strings.TrimPrefix(image, prefix)
	}
	if last := image[strings.LastIndexByte(image, '/')+1:]; !strings.ContainsAny(last, ":@") {
		image += ":latest"
	}
	return image
}
