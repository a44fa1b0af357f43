// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddPod puts a Pod into the world as it was found in another one: its containers run what its status says.
func (w *World) AddPod(found *corev1.Pod) {
	pod := found.DeepCopy()
	w.register(&pod.ObjectMeta, "pod")
	w.pods[pod.Name] = pod
	w.show(nil, pod)
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

// Copy starts a Pod of another name from one that there is, with its labels and without an owner, as somebody does who wants to look into it.
func (w *World) Copy(name, as string) {
	pod := w.pods[name].DeepCopy()
	pod.Name, pod.OwnerReferences, pod.Finalizers = as, nil, nil
	pod.Spec.NodeName, pod.Status, pod.DeletionTimestamp = "", corev1.PodStatus{Phase: corev1.PodPending}, nil
	w.AddPod(pod)
	w.tell("somebody", "copies %s to %s", name, as)
}

// Own makes an owner the controller of a Pod, or takes its controller away where the owner is nil.
func (w *World) Own(name string, owner *metav1.OwnerReference) {
	if owner == nil {
		w.Edit(name, func(pod *corev1.Pod) { pod.OwnerReferences = nil })
		w.tell("controllers", "release %s", name)
		return
	}
	w.Edit(name, func(pod *corev1.Pod) { pod.OwnerReferences = []metav1.OwnerReference{*owner} })
	w.tell("controllers", "adopt %s", name)
}

// AddClaim puts a claim into the world as it was found in another one.
func (w *World) AddClaim(found *corev1.PersistentVolumeClaim) {
	claim := found.DeepCopy()
	w.register(&claim.ObjectMeta, "claim")
	w.claims[claim.Name] = claim
}
