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
	default:
		return fmt.Sprintf("%s revision %s", write.Action.Verb, name)
	}
}

func images(pod *corev1.Pod) string {
	var all []string
	for i := range pod.Spec.Containers {
		all = append(all, pod.Spec.Containers[i].Image)
	}
	return strings.Join(all, ", ")
}

// differences lists what a write changed on a Pod, but for what is of no interest to a reader, such as times.
func (w *World) differences(old, pod *corev1.Pod) string {
	var all []string
	add := func(what, from, to string) {
		switch {
		case from == to:
		case from == "":
			all = append(all, fmt.Sprintf("%s %s", what, to))
		case to == "":
			all = append(all, fmt.Sprintf("%s %s removed", what, from))
		default:
			all = append(all, fmt.Sprintf("%s %s -> %s", what, from, to))
		}
	}
	for _, key := range keysOf(old.Labels, pod.Labels) {
		from, to := old.Labels[key], pod.Labels[key]
		switch key {
		case appsv1.ControllerRevisionHashLabelKey:
			add("revision", w.aliasOf(from), w.aliasOf(to))
		case appsv1.DefaultDeploymentUniqueLabelKey:
		case pub.LifecycleStateKey:
			add("state", from, to)
		default:
			add(key, from, to)
		}
	}
	for _, key := range keysOf(old.Annotations, pod.Annotations) {
		switch key {
		case pub.LifecycleTimestampKey, pub.InPlaceUpdateStateKey:
			add(brokenness(key, old.Annotations[key], pod.Annotations[key]))
		case pub.InPlaceUpdateGraceKey:
			add(held(old.Annotations[key], pod.Annotations[key]))
		default:
			add(key, old.Annotations[key], pod.Annotations[key])
		}
	}
	for i := range pod.Spec.Containers {
		add(pod.Spec.Containers[i].Name, old.Spec.Containers[i].Image, pod.Spec.Containers[i].Image)
	}
	for _, c := range pod.Status.Conditions {
		add(string(c.Type), string(statusOf(old, c.Type)), string(c.Status))
	}
	if len(all) == 0 {
		return "no difference"
	}
	return strings.Join(all, ", ")
}

func (w *World) aliasOf(revision string) string {
	if revision == "" {
		return ""
	}
	return w.Alias(revision)
}

// brokenness tells of one of our annotations only that it could not be read before and is gone now.
func brokenness(key, from, to string) (what, was, is string) {
	if from != "" && to == "" || key == pub.InPlaceUpdateStateKey && from != "" && !json.Valid([]byte(from)) {
		return "unreadable " + key, "value", ""
	}
	return key, "", ""
}

// held tells whether an update is held back for its grace period, and not what is in it.
func held(from, to string) (what, was, is string) {
	if from == "" {
		return "held back", "", "for the grace period"
	}
	if to == "" {
		return "held back", "update", ""
	}
	return "held back", "update", "another"
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
