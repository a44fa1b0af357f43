// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// admitResize lets CPU and memory of containers change, and nothing else: neither the set of what is requested and limited, nor the QoS class.
func admitResize(old, pod *corev1.Pod) error {
	pod.Status, pod.ObjectMeta = old.Status, old.ObjectMeta
	mutable := old.Spec.DeepCopy()
	path := field.NewPath("spec", "containers")
	for i := range mutable.Containers {
		before, now := mutable.Containers[i].Resources, pod.Spec.Containers[i].Resources
		if !hasSameKeys(before.Limits, now.Limits) || !hasSameKeys(before.Requests, now.Requests) {
			return invalid(pod, field.Forbidden(path.Index(i), "resources can be neither added nor removed"))
		}
		mutable.Containers[i].Resources = now
	}
	if !equality.Semantic.DeepEqual(mutable, &pod.Spec) {
		return invalid(pod, field.Forbidden(path, "only resources can be resized"))
	}
	if isGuaranteed(old) != isGuaranteed(pod) {
		return invalid(pod, field.Forbidden(path, "the QoS class cannot change"))
	}
	return nil
}

// completeResources makes a request that is missing as large as the limit.
func completeResources(pod *corev1.Pod) {
	for _, c := range running(pod) {
		for name, limit := range c.Resources.Limits {
			if _, isRequested := c.Resources.Requests[name]; !isRequested {
				c.Resources.Requests = maps.Clone(c.Resources.Requests)
				if c.Resources.Requests == nil {
					c.Resources.Requests = corev1.ResourceList{}
				}
				c.Resources.Requests[name] = limit
			}
		}
	}
}

func hasSameKeys(a, b corev1.ResourceList) bool {
	return slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
}

// isGuaranteed says that every container has limits that are equal to its requests. As no resource comes or goes, no other class can change.
func isGuaranteed(pod *corev1.Pod) bool {
	for i := range pod.Spec.Containers {
		r := pod.Spec.Containers[i].Resources
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := r.Requests[name], r.Limits[name]
			if limit.IsZero() || request.Cmp(limit) != 0 {
				return false
			}
		}
	}
	return true
}

// resizeStep is what the kubelet does next about resources that are not those that it set aside: it gives them, or says why it does not.
func (w *World) resizeStep(pod *corev1.Pod) []Step {
	step := func(do func()) []Step {
		return []Step{{Actor: "kubelet", Verb: "resize", Pod: pod.Name, do: do}}
	}
	if !w.isResized(pod) {
		if statusOf(pod, corev1.PodResizePending) == "" {
			return nil
		}
		return step(func() { w.settle(pod) })
	}
	reason := ""
	had, wants := w.allocatedCPU(pod), requestedCPU(pod)
	switch {
	case w.isTooMuch(wants):
		reason = corev1.PodReasonInfeasible
	case w.Full && wants.Cmp(had) > 0:
		reason = corev1.PodReasonDeferred
	}
	if reason == "" {
		return step(func() { w.settle(pod) })
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodResizePending && c.Reason == reason {
			return nil
		}
	}
	return step(func() {
		w.Edit(pod.Name, func(p *corev1.Pod) {
			removePending(p)
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
				Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: reason, Message: "not enough CPU", LastTransitionTime: w.stamp(),
			})
		})
		w.tell("kubelet", "cannot resize %s: %s", pod.Name, reason)
	})
}

// isTooMuch says that no node can give so much CPU to one Pod.
func (w *World) isTooMuch(cpu resource.Quantity) bool {
	return !w.TooMuch.IsZero() && cpu.Cmp(w.TooMuch) >= 0
}

var errNotEnough = errors.New("the node has not enough CPU")

// refusedResize is the answer of the API server to a resize that it refuses.
type refusedResize struct{ error }

func (r *refusedResize) Unwrap() error { return r.error }

// isResized says that a container that has started wants other resources than the kubelet has set aside.
func (w *World) isResized(pod *corev1.Pod) bool {
	return slices.ContainsFunc(running(pod), func(c *corev1.Container) bool {
		known := w.containerOf(pod, c.Name)
		return known.starts > 0 && !equality.Semantic.DeepEqual(known.allocated, c.Resources)
	})
}

func requestedCPU(pod *corev1.Pod) resource.Quantity {
	var sum resource.Quantity
	for _, c := range running(pod) {
		sum.Add(c.Resources.Requests[corev1.ResourceCPU])
	}
	return sum
}

func (w *World) allocatedCPU(pod *corev1.Pod) resource.Quantity {
	var sum resource.Quantity
	for _, c := range running(pod) {
		sum.Add(w.containerOf(pod, c.Name).allocated.Requests[corev1.ResourceCPU])
	}
	return sum
}

// settle sets aside what the specification wants. Containers that run get it at once, unless they ask to be restarted for it.
func (w *World) settle(pod *corev1.Pod) {
	w.Edit(pod.Name, func(p *corev1.Pod) {
		removePending(p)
		for _, c := range running(p) {
			known := w.containerOf(pod, c.Name)
			known.allocated = c.Resources
			if status := statusOfContainer(p, c.Name); known.started != "" && !w.restartsToResize(p, c) && status != nil {
				known.resources, status.Resources = known.allocated, known.allocated.DeepCopy()
			}
		}
	})
	w.tell("kubelet", "resizes %s", pod.Name)
}

// restartsToResize says that a container has to be restarted to get what the kubelet set aside for it.
func (w *World) restartsToResize(pod *corev1.Pod, spec *corev1.Container) bool {
	known := w.containerOf(pod, spec.Name)
	return slices.ContainsFunc(spec.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
		request, requested := known.resources.Requests[p.ResourceName], known.allocated.Requests[p.ResourceName]
		limit, limited := known.resources.Limits[p.ResourceName], known.allocated.Limits[p.ResourceName]
		return p.RestartPolicy == corev1.RestartContainer && (request.Cmp(requested) != 0 || limit.Cmp(limited) != 0)
	})
}

func removePending(pod *corev1.Pod) {
	pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodResizePending })
}
