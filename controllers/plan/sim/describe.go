// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
)

// describe is one line about a write.
func (w *World) describe(write Write) string {
	name := w.Shorten(write.Action.Object.GetName())
	pod := write.New
	switch {
	case write.Action.Verb == plan.Create && pod != nil:
		return fmt.Sprintf("create %s at %s with %s", name, w.Alias(pod.Labels[appsv1.ControllerRevisionHashLabelKey]), images(pod))
	case write.Action.Verb == plan.Patch && pod != nil:
		return fmt.Sprintf("patch %s: %s", name, w.differences(write.Old, pod))
	case write.Old != nil:
		return fmt.Sprintf("delete %s", name)
	case write.Claim != nil && write.Action.Verb == plan.Patch:
		return fmt.Sprintf("hand claim %s to its Pod", name)
	case write.Claim != nil:
		return fmt.Sprintf("%s claim %s", write.Action.Verb, name)
	default:
		return fmt.Sprintf("%s revision %s", write.Action.Verb, name)
	}
}

func images(pod *corev1.Pod) string {
	var all []string
	for _, c := range running(pod) {
		all = append(all, c.Image)
	}
	return strings.Join(all, ", ")
}

// differences lists what a write changed on a Pod, but for what is of no interest to a reader, such as times.
func (w *World) differences(old, pod *corev1.Pod) string {
	var all changes
	for _, key := range keysOf(old.Labels, pod.Labels) {
		w.differInLabel(&all, key, old.Labels[key], pod.Labels[key])
	}
	for _, key := range keysOf(old.Annotations, pod.Annotations) {
		all.annotation(key, old.Annotations[key], pod.Annotations[key])
	}
	before := running(old)
	for i, c := range running(pod) {
		all.add(c.Name, before[i].Image, c.Image)
		all.add(c.Name+" resources", amounts(before[i].Resources), amounts(c.Resources))
	}
	for _, f := range pod.Finalizers {
		if !slices.Contains(old.Finalizers, f) {
			all.add("finalizer", "", f)
		}
	}
	for _, c := range pod.Status.Conditions {
		from, to := statusOf(old, c.Type), c.Status
		// A Pod that nobody ever held is of no interest.
		if c.Type != pub.KruisePodReady || from != "" || to != corev1.ConditionTrue {
			all.add(string(c.Type), string(from), string(to))
		}
	}
	if len(all) == 0 {
		return "no difference"
	}
	return strings.Join(all, ", ")
}

func (w *World) differInLabel(all *changes, key, from, to string) {
	switch key {
	case appsv1.ControllerRevisionHashLabelKey:
		all.add("revision", w.aliasOf(from), w.aliasOf(to))
	case appsv1.DefaultDeploymentUniqueLabelKey:
	case pub.LifecycleStateKey:
		all.add("state", from, to)
	default:
		all.add(key, from, to)
	}
}

func (w *World) aliasOf(revision string) string {
	if revision == "" {
		return ""
	}
	return w.Alias(revision)
}

// changes are what a write changed, in words.
type changes []string

func (c *changes) add(what, from, to string) {
	switch {
	case from == to:
	case from == "":
		*c = append(*c, what+" "+to)
	case to == "":
		*c = append(*c, what+" "+from+" removed")
	default:
		*c = append(*c, what+" "+from+" -> "+to)
	}
}

// annotation tells of our own annotations what they mean, and not what is in them.
func (c *changes) annotation(key, from, to string) {
	switch key {
	case pub.LifecycleTimestampKey:
	case pub.InPlaceUpdateStateKey:
		if from != "" && (to == "" || !json.Valid([]byte(from))) {
			c.add("unreadable "+key, "value", "")
		}
		c.add("still to come", stillToCome(from), stillToCome(to))
	case pub.InPlaceUpdateGraceKey:
		if from != to {
			c.add("held back", word(from, "update"), word(to, "for the grace period"))
		}
	default:
		c.add(key, from, to)
	}
}

// stillToCome lists the containers of later batches.
func stillToCome(state string) string {
	var s pub.InPlaceUpdateState
	if json.Unmarshal([]byte(state), &s) != nil {
		return ""
	}
	names := map[string]bool{}
	for name := range s.NextContainerImages {
		names[name] = true
	}
	for name := range s.NextContainerRefMetadata {
		names[name] = true
	}
	for name := range s.NextContainerResources {
		names[name] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " and ")
}

// amounts are resources in few words.
func amounts(r corev1.ResourceRequirements) string {
	var words []string
	for _, part := range []struct {
		word string
		list corev1.ResourceList
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		for _, name := range slices.Sorted(maps.Keys(part.list)) {
			quantity := part.list[name]
			words = append(words, fmt.Sprintf("%s %s %s", part.word, name, quantity.String()))
		}
	}
	return strings.Join(words, " ")
}

// word stands for a value that is not shown.
func word(value, instead string) string {
	if value == "" {
		return ""
	}
	return instead
}

func keysOf(a, b map[string]string) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

func statusOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return pod.Status.Conditions[i].Status
		}
	}
	return ""
}
