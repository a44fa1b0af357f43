// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container is what a kubelet knows of one container beside what it reports.
type container struct {
	// started is the image that the running container was started from; empty when none runs.
	started string
	// pulling is the image that the kubelet is about to start the container from; it has been read from the spec at an earlier time.
	pulling string
	// backsOff is the image that could not be pulled, or crashed; the kubelet waits until the spec names another.
	backsOff string
	starts   int
}

// Step is one small thing that the scheduler or a kubelet can do now.
type Step struct {
	Actor string
	// Verb is bind, stop, start, crash, ready, sync or remove.
	Verb string
	// Pod and Container name what it is done to; no container means the whole Pod.
	Pod, Container string
	do             func()
}

// String names the step, as in "kubelet start web-a/main".
func (s Step) String() string {
	if s.Container == "" {
		return fmt.Sprintf("%s %s %s", s.Actor, s.Verb, s.Pod)
	}
	return fmt.Sprintf("%s %s %s/%s", s.Actor, s.Verb, s.Pod, s.Container)
}

// Steps are all things that scheduler and kubelets can do now, in a fixed order.
func (w *World) Steps() []Step {
	var steps []Step
	for _, pod := range w.Pods() {
		steps = append(steps, w.stepsOf(pod)...)
	}
	return steps
}

func (w *World) stepsOf(pod *corev1.Pod) []Step {
	switch {
	case pod.DeletionTimestamp != nil:
		if len(pod.Finalizers) > 0 {
			return nil
		}
		return []Step{{Actor: "kubelet", Verb: "remove", Pod: pod.Name, do: func() {
			w.remove(pod)
			w.tell("kubelet", "removes %s", pod.Name)
		}}}
	case pod.Spec.NodeName == "" && !w.hasClaims(pod):
		return nil
	case pod.Spec.NodeName == "":
		return []Step{{Actor: "scheduler", Verb: "bind", Pod: pod.Name, do: func() { w.bind(pod) }}}
	case isEnded(pod):
		return nil
	}
	var steps []Step
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if verb, do := w.containerStep(pod, c); do != nil {
			steps = append(steps, Step{Actor: "kubelet", Verb: verb, Pod: pod.Name, Container: c.Name, do: do})
		}
	}
	if next := pod.DeepCopy(); w.judge(next) {
		steps = append(steps, Step{Actor: "kubelet", Verb: "sync", Pod: pod.Name, do: func() {
			w.store(next)
			w.tell("kubelet", "reports %s Ready %s", pod.Name, statusOf(next, corev1.PodReady))
		}})
	}
	return steps
}

func isEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// Take does the thing of that name, and says whether it was possible.
func (w *World) Take(name string) bool {
	for _, step := range w.Steps() {
		if step.String() == name {
			step.do()
			return true
		}
	}
	return false
}

// TakeStep does one of the things that Steps just returned.
func (w *World) TakeStep(step Step) { step.do() }

// bind gives a Pod the node that has the fewest.
func (w *World) bind(pod *corev1.Pod) {
	load := map[string]int{}
	for _, other := range w.pods {
		load[other.Spec.NodeName]++
	}
	node := w.Nodes[0]
	for _, n := range w.Nodes {
		if load[n] < load[node] {
			node = n
		}
	}
	w.Edit(pod.Name, func(p *corev1.Pod) {
		p.Spec.NodeName = node
		if zone := w.Zones[node]; zone != "" {
			metav1.SetMetaDataLabel(&p.ObjectMeta, corev1.LabelTopologyZone, zone)
		}
		w.setCondition(p, corev1.PodScheduled, corev1.ConditionTrue)
	})
	w.tell("scheduler", "binds %s to %s", pod.Name, node)
}

// containerStep is what the kubelet does next with a container.
func (w *World) containerStep(pod *corev1.Pod, spec *corev1.Container) (string, func()) {
	c := w.containerOf(pod, spec.Name)
	image := w.Images[c.started]
	switch {
	case c.started == "" && c.backsOff == spec.Image:
		return "", nil
	case c.started == "":
		return "start", func() { w.startContainer(pod, spec) }
	case c.started != spec.Image:
		return "stop", func() { w.stopContainer(pod, spec) }
	case image.Crashes:
		return "crash", func() { w.crashContainer(pod, spec) }
	case !isContainerReady(pod, spec.Name):
		return "ready", func() { w.readyContainer(pod, spec.Name) }
	default:
		return "", nil
	}
}

func (w *World) containerOf(pod *corev1.Pod, name string) *container {
	if w.kubelet[pod.UID] == nil {
		w.kubelet[pod.UID] = map[string]*container{}
	}
	if w.kubelet[pod.UID][name] == nil {
		w.kubelet[pod.UID][name] = &container{}
	}
	return w.kubelet[pod.UID][name]
}

// Runs is the image from which the running container was started, whatever spec and status say; empty when it does not run.
func (w *World) Runs(pod *corev1.Pod, name string) string { return w.containerOf(pod, name).started }

func isContainerReady(pod *corev1.Pod, name string) bool {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == name {
			return pod.Status.ContainerStatuses[i].Ready
		}
	}
	return false
}
