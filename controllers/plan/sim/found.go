// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import corev1 "k8s.io/api/core/v1"

// AddPod puts a Pod into the world as it was found in another one: its containers run what its status says.
func (w *World) AddPod(found *corev1.Pod) {
	pod := found.DeepCopy()
	w.register(&pod.ObjectMeta, "pod")
	w.pods[pod.Name] = pod
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		if s.State.Running != nil {
			c := w.containerOf(pod, s.Name)
			c.started, c.last, c.starts = s.Image, s.Image, int(s.RestartCount)+1
			if spec := containerOf(pod, s.Name); spec != nil {
				c.env, c.allocated, c.resources = envOf(pod, spec), spec.Resources, spec.Resources
			}
		}
	}
}

// AddClaim puts a claim into the world as it was found in another one.
func (w *World) AddClaim(found *corev1.PersistentVolumeClaim) {
	claim := found.DeepCopy()
	w.register(&claim.ObjectMeta, "claim")
	w.claims[claim.Name] = claim
}
