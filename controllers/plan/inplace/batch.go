// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
)

// priorities are the launch priorities of a Pod's containers. A container without one is not in it, and all of them are missing when the Pod has no
// order. What the barriers say counts where there are any: they were put on the Pod when it was created.
func priorities(pod *corev1.Pod) map[string]int {
	found := map[string]int{}
	for _, c := range LongRunning(&pod.Spec) {
		if priority, has := barrier(c); has {
			found[c.Name] = priority
		}
	}
	if len(found) > 0 || len(pod.Spec.Containers) < 2 {
		return found
	}
	isDistinct := false
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if pod.Annotations[pub.ContainerLaunchPriorityKey] == pub.ContainerLaunchOrdered {
			found[c.Name] = -i
		} else {
			found[c.Name] = ownPriority(c)
		}
		isDistinct = isDistinct || found[c.Name] != found[pod.Spec.Containers[0].Name]
	}
	if !isDistinct {
		return nil
	}
	return found
}

// barrier reads the priority out of the key that a container's barrier refers to.
func barrier(c *corev1.Container) (priority int, found bool) {
	for i := range c.Env {
		from := c.Env[i].ValueFrom
		if c.Env[i].Name != pub.ContainerLaunchBarrierEnv || from == nil || from.ConfigMapKeyRef == nil {
			continue
		}
		number, hasPrefix := strings.CutPrefix(from.ConfigMapKeyRef.Key, pub.ContainerLaunchBarrierPrefix)
		priority, err := strconv.Atoi(number)
		return priority, hasPrefix && err == nil
	}
	return 0, false
}

// ownPriority is what a container says itself; what is no number counts as nothing said.
func ownPriority(c *corev1.Container) int {
	for i := range c.Env {
		if c.Env[i].Name == pub.ContainerLaunchPriorityEnv {
			priority, err := strconv.Atoi(c.Env[i].Value)
			if err == nil {
				return priority
			}
		}
	}
	return 0
}

// split takes the first batch out of a Spec, and says which containers are in it. These are the ones with the highest launch priority and those
// without any, and whoever follows the same label or annotation as one of them, because that changes for both at once. Metadata that no environment
// follows goes with the first batch. Containers that are still busy with an update before count as changing: none of a lower priority is chosen.
//
//	priorities sidecar 10, main 0; main and sidecar change => first sidecar, then main
func (s Spec) split(pod *corev1.Pod, order map[string]int, busy []string) (first, rest Spec, names []string) {
	chosen := s.firstContainers(pod, order, busy)
	isFirst := func(name string) bool { return chosen[name] }
	isLater := func(name string) bool { return !chosen[name] }
	first = Spec{
		Images: kept(s.Images, isFirst), Resources: kept(s.Resources, isFirst), RefMetadata: kept(s.RefMetadata, isFirst),
		Labels: s.Labels, Annotations: s.Annotations,
	}
	rest = Spec{Images: kept(s.Images, isLater), Resources: kept(s.Resources, isLater), RefMetadata: kept(s.RefMetadata, isLater)}
	return first, rest, slices.Sorted(maps.Keys(chosen))
}

func (s Spec) firstContainers(pod *corev1.Pod, order map[string]int, busy []string) map[string]bool {
	changing := s.Containers()
	highest, isOrdered := 0, false
	for _, name := range union(changing, busy) {
		if priority, found := order[name]; found && (!isOrdered || priority > highest) {
			highest, isOrdered = priority, true
		}
	}
	chosen := map[string]bool{}
	for _, name := range s.losing(pod) {
		chosen[name] = true
	}
	for _, name := range changing {
		if priority, found := order[name]; !found || priority == highest {
			chosen[name] = true
		}
	}
	for s.pullsIn(chosen) {
	}
	return chosen
}

// losing are the containers whose environment follows a label or annotation that is removed.
func (s Spec) losing(pod *corev1.Pod) []string {
	var names []string
	for _, c := range LongRunning(&pod.Spec) {
		for _, ref := range envRefs(c) {
			if value, isChanged := s.metadata(ref)[ref.key]; isChanged && value == nil {
				names = append(names, c.Name)
				break
			}
		}
	}
	return names
}

// pullsIn adds containers that share changed metadata with chosen ones, and says whether there were any.
func (s Spec) pullsIn(chosen map[string]bool) bool {
	grown := false
	for name, meta := range s.RefMetadata {
		if chosen[name] {
			continue
		}
		for other, theirs := range s.RefMetadata {
			if chosen[other] && (shareKey(meta.Labels, theirs.Labels) || shareKey(meta.Annotations, theirs.Annotations)) {
				chosen[name], grown = true, true
			}
		}
	}
	return grown
}

// union is the sorted names of two lists.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func shareKey(a, b map[string]string) bool {
	for key := range a {
		if _, found := b[key]; found {
			return true
		}
	}
	return false
}

// kept are the entries of a map whose keys are wanted; nil when none is.
func kept[M ~map[K]V, K comparable, V any](all M, isWanted func(K) bool) M {
	var out M
	for name, value := range all {
		if !isWanted(name) {
			continue
		}
		if out == nil {
			out = M{}
		}
		out[name] = value
	}
	return out
}

// IsQuiet reports whether the change touches no container of a Pod, so that the Pod serves on all the while.
func (s Spec) IsQuiet(pod *corev1.Pod) bool { return len(s.Containers())+len(s.losing(pod)) == 0 }

// restarts says that the change restarts containers, so that the Pod has to be drained first.
func (s Spec) restarts(pod *corev1.Pod) bool {
	for name, change := range s.Resources {
		if c := container(pod, name); c != nil && restartsFor(c, change) {
			return true
		}
	}
	return len(s.Images)+len(s.RefMetadata) > 0 || len(s.losing(pod)) > 0
}

// over is this Spec on top of one that was wanted before.
func (s Spec) over(before Spec) Spec {
	out := s
	out.Images = merged(before.Images, s.Images)
	out.Resources = overlaidAll(before.Resources, s.Resources)
	out.RefMetadata = merged(before.RefMetadata, s.RefMetadata)
	for name, meta := range before.RefMetadata {
		now := s.RefMetadata[name]
		out.RefMetadata[name] = metav1.ObjectMeta{
			Labels:      merged(kept(meta.Labels, isMissing(s.Labels)), now.Labels),
			Annotations: merged(kept(meta.Annotations, isMissing(s.Annotations)), now.Annotations),
		}
	}
	return out
}

func isMissing[M ~map[K]V, K comparable, V any](in M) func(K) bool {
	return func(key K) bool {
		_, found := in[key]
		return !found
	}
}

// beyond is what of the Spec the Pod does not have yet. Metadata that no environment follows stays in it: a write that repeats it costs nothing.
func (s Spec) beyond(pod *corev1.Pod) Spec {
	out := s
	reports := readReports(pod)
	out.Images = kept(s.Images, func(name string) bool {
		c := container(pod, name)
		return c != nil && c.Image != s.Images[name]
	})
	out.Resources = unwritten(pod, s.Resources)
	out.RefMetadata = kept(s.RefMetadata, func(name string) bool {
		c, meta := container(pod, name), s.RefMetadata[name]
		// Somebody may have changed the metadata by hand, so that the container has not followed.
		return !isWithin(meta.Labels, pod.Labels) || !isWithin(meta.Annotations, pod.Annotations) || c != nil && !hasEnv(pod, c, reports).OK
	})
	return out
}

func isWithin(part, whole map[string]string) bool {
	for key, value := range part {
		if actual, found := whole[key]; !found || actual != value {
			return false
		}
	}
	return true
}
