// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/keelson/keelson/api/apps/pub"
)

// change is what a write does to one container.
type change struct {
	name                   string
	image, env, resources  bool
	old, spec              *corev1.Container
	restartsForItsResource bool
}

// restarts says that the container restarts because of it.
func (c change) restarts() bool { return c.image || c.env || c.restartsForItsResource }

// changesOf lists the containers that a write changes.
func changesOf(write Write) []change {
	if write.Old == nil || write.New == nil {
		return nil
	}
	var all []change
	before := running(write.Old)
	for i, spec := range running(write.New) {
		c := change{name: spec.Name, old: before[i], spec: spec, image: before[i].Image != spec.Image, env: envOf(write.Old, before[i]) != envOf(write.New, spec)}
		c.resources = !equality.Semantic.DeepEqual(before[i].Resources, spec.Resources)
		c.restartsForItsResource = c.resources && asksForRestart(before[i], spec)
		if c.image || c.env || c.resources {
			all = append(all, c)
		}
	}
	return all
}

// asksForRestart says that a resource changes for which the container wants to be restarted.
func asksForRestart(old, spec *corev1.Container) bool {
	return slices.ContainsFunc(spec.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
		isSame := old.Resources.Requests.Name(p.ResourceName, "").Equal(*spec.Resources.Requests.Name(p.ResourceName, "")) &&
			old.Resources.Limits.Name(p.ResourceName, "").Equal(*spec.Resources.Limits.Name(p.ResourceName, ""))
		return p.RestartPolicy == corev1.RestartContainer && !isSame
	})
}

// INVARIANT: what restarts a container is written only to a Pod that is drained.
func checkDrainedFirst(_ *World, _ Promise, write Write) string {
	isRestart := slices.ContainsFunc(changesOf(write), change.restarts)
	if !isRestart || !hasGate(write.Old, pub.InPlaceUpdateReady) {
		return ""
	}
	if statusOf(write.Old, pub.InPlaceUpdateReady) != corev1.ConditionFalse && statusOf(write.Old, corev1.PodReady) == corev1.ConditionTrue {
		return fmt.Sprintf("%s is ready while its containers change: %s -> %s", write.Old.Name, images(write.Old), images(write.New))
	}
	return ""
}

// INVARIANT: a Pod is made ready again only when no container runs an image, or an environment, other than the one that the Pod names.
func checkReadyWhenFollowed(w *World, _ Promise, write Write) string {
	if write.Old == nil || write.New == nil {
		return ""
	}
	if statusOf(write.Old, pub.InPlaceUpdateReady) == corev1.ConditionTrue || statusOf(write.New, pub.InPlaceUpdateReady) != corev1.ConditionTrue {
		return ""
	}
	for _, c := range running(write.New) {
		if problem := w.lagOf(write.New, c); problem != "" {
			return fmt.Sprintf("%s is made ready while %s", write.New.Name, problem)
		}
	}
	return ""
}

// lagOf says in what a running container differs from what its Pod says; empty when in nothing.
func (w *World) lagOf(pod *corev1.Pod, spec *corev1.Container) string {
	c := w.containerOf(pod, spec.Name)
	switch {
	case c.started == "":
		return ""
	case c.started != spec.Image:
		return fmt.Sprintf("%s runs %s and not %s", spec.Name, c.started, spec.Image)
	case c.env != envOf(pod, spec):
		return fmt.Sprintf("the environment of %s is not what the metadata says", spec.Name)
	default:
		return ""
	}
}

// INVARIANT: an update ends only when the containers run with the resources that the Pod names, or when its Pod is to be deleted.
func checkDoneWhenResized(w *World, _ Promise, write Write) string {
	if write.Old == nil || write.New == nil || stateOf(write.Old) != pub.LifecycleStateUpdating {
		return ""
	}
	if next := stateOf(write.New); next == pub.LifecycleStateUpdating || next == pub.LifecycleStatePreparingDelete {
		return ""
	}
	for _, spec := range running(write.New) {
		if c := w.containerOf(write.New, spec.Name); c.started != "" && !equality.Semantic.DeepEqual(c.resources, spec.Resources) {
			return fmt.Sprintf("%s is done while %s runs with %s and not %s", write.New.Name, spec.Name, amounts(c.resources), amounts(spec.Resources))
		}
	}
	return ""
}

// INVARIANT: a container gets another image or environment only when those that launch before it are not changed by the same write, unless both follow the same metadata, and
// run what their Pod says.
func checkInLaunchOrder(w *World, _ Promise, write Write) string {
	changed := changesOf(write)
	for _, c := range changed {
		if !c.image && !c.env {
			// Resources are a write of their own, after that of their batch.
			continue
		}
		for _, first := range running(write.New) {
			if !goesBefore(first, c.spec) || c.env && envOf(write.Old, first) != envOf(write.New, first) {
				continue
			}
			if slices.ContainsFunc(changed, func(other change) bool { return other.name == first.Name }) {
				return fmt.Sprintf("%s of %s changes together with %s", c.name, write.New.Name, first.Name)
			}
			if problem := w.lagOf(write.Old, first); problem != "" {
				return fmt.Sprintf("%s of %s changes while %s", c.name, write.New.Name, problem)
			}
		}
	}
	return ""
}

// goesBefore says that one container launches before another. Native sidecars have no launch priorities.
func goesBefore(first, other *corev1.Container) bool {
	return first.RestartPolicy == nil && other.RestartPolicy == nil && launchPriority(first) > launchPriority(other)
}

// launchPriority is what a container says of when it launches.
func launchPriority(c *corev1.Container) int {
	for i := range c.Env {
		if priority, err := strconv.Atoi(c.Env[i].Value); c.Env[i].Name == pub.ContainerLaunchPriorityEnv && err == nil {
			return priority
		}
	}
	return 0
}
