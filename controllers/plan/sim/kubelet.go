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
	// last is the image that the newest container was started from, whether it runs or not.
	last string
	// env is the hash of what it took from the Pod's metadata when it started, and pullingEnv what it takes when it is started from pulling.
	env, pullingEnv uint64
	// resources are those that it runs with, and allocated those that the kubelet has set aside for it.
	resources, allocated corev1.ResourceRequirements
	// pulling is the image that the kubelet is about to start the container from; it has been read from the spec at an earlier time.
	pulling string
	// backsOff is the image that could not be pulled, or crashed; the kubelet waits until the spec names another, or the metadata gives another
	// environment than backsOffEnv.
	backsOff    string
	backsOffEnv uint64
	starts      int
}

// Step is one small thing that the scheduler or a kubelet can do now.
type Step struct {
	Actor string
	// Verb is bind, stop, start, crash, ready, resize, sync or remove; the node agent reports and stops.
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
	for _, pod := range sortedValues(w.pods) {
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
	for _, c := range running(pod) {
		if verb, do := w.containerStep(pod, c); do != nil {
			steps = append(steps, Step{Actor: "kubelet", Verb: verb, Pod: pod.Name, Container: c.Name, do: do})
		}
	}
	steps = append(steps, w.resizeStep(pod)...)
	if next := pod.DeepCopy(); w.judge(next) {
		steps = append(steps, Step{Actor: "kubelet", Verb: "sync", Pod: pod.Name, do: func() {
			w.store(next)
			w.tell("kubelet", "reports %s Ready %s", pod.Name, statusOf(next, corev1.PodReady))
		}})
	}
	return append(steps, w.agentSteps(pod)...)
}

// running are the containers that go on as long as their Pod: native sidecars, then the containers proper. Other init containers are not played.
func running(pod *corev1.Pod) []*corev1.Container {
	var all []*corev1.Container
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	for i := range pod.Spec.Containers {
		all = append(all, &pod.Spec.Containers[i])
	}
	return all
}

// containerOf is a container, or a native sidecar, of a Pod; nil when it has none of that name.
func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for _, c := range running(pod) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// waitsForSidecars says that a container proper has not run yet, and a native sidecar has not either.
func (w *World) waitsForSidecars(pod *corev1.Pod, spec *corev1.Container) bool {
	if w.containerOf(pod, spec.Name).starts > 0 {
		return false
	}
	for _, other := range running(pod) {
		if other.Name == spec.Name {
			return false
		}
		if other.RestartPolicy != nil && w.containerOf(pod, other.Name).starts == 0 {
			return true
		}
	}
	return false
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
	case c.started == "" && (c.backsOff == spec.Image && c.backsOffEnv == envOf(pod, spec) || w.waitsForSidecars(pod, spec)):
		return "", nil
	case c.started == "":
		return "start", func() { w.startContainer(pod, spec) }
	case c.started != spec.Image || w.restartsToResize(pod, spec):
		return "stop", func() { w.stopContainer(pod, spec, "kubelet") }
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
	status := statusOfContainer(pod, name)
	return status != nil && status.Ready
}

// statusOfContainer is the status of a container or a native sidecar, or nil.
func statusOfContainer(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, status := range statuses(pod) {
		if status.Name == name {
			return status
		}
	}
	return nil
}

// statuses are those of native sidecars and containers.
func statuses(pod *corev1.Pod) []*corev1.ContainerStatus {
	var all []*corev1.ContainerStatus
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}
