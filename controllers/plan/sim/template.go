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
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
)

// INVARIANT: a Pod that is done with an update, or that has just become Normal, is what the template of its revision says: images, environments, resources, labels and
// annotations.
func checkTemplateKept(w *World, p Promise, write Write) string {
	if write.Action.Verb != plan.Patch || write.Old == nil || write.New == nil || len(w.revisions) == 0 {
		return ""
	}
	state := stateOf(write.New)
	isDone := state == pub.LifecycleStateNormal || state == pub.LifecycleStateUpdated
	if !isDone || state == stateOf(write.Old) && revisionOf(write.Old) == revisionOf(write.New) {
		return ""
	}
	if difference := w.Difference(p, write.New); difference != "" {
		return fmt.Sprintf("%s becomes %s, but %s", write.New.Name, state, difference)
	}
	return ""
}

// Difference is what of a Pod is not as the template of its revision says; empty when all is.
func (w *World) Difference(p Promise, pod *corev1.Pod) string {
	rev := w.revisionNamed(revisionOf(pod))
	if rev == nil {
		return "nobody can look its revision up"
	}
	template := w.templateOf(rev)
	wanted := &corev1.Pod{Spec: *template.Spec.DeepCopy()}
	completeResources(wanted)
	for _, c := range running(wanted) {
		switch is := containerOf(pod, c.Name); {
		case is == nil:
			return "it has no container " + c.Name
		case is.Image != c.Image:
			return fmt.Sprintf("container %s has the image %s instead of %s", c.Name, is.Image, c.Image)
		case !equality.Semantic.DeepEqual(is.Resources, c.Resources):
			return fmt.Sprintf("container %s has the resources %v instead of %v", c.Name, is.Resources, c.Resources)
		case !equality.Semantic.DeepEqual(is.Env, c.Env):
			return fmt.Sprintf("container %s has the environment %v instead of %v", c.Name, is.Env, c.Env)
		}
	}
	if problem := w.metadataDifference(p, pod.Labels, template.Labels, func(t *corev1.PodTemplateSpec) map[string]string { return t.Labels }); problem != "" {
		return "label " + problem
	}
	if problem := w.metadataDifference(p, pod.Annotations, template.Annotations, func(t *corev1.PodTemplateSpec) map[string]string { return t.Annotations }); problem != "" {
		return "annotation " + problem
	}
	return ""
}

// metadataDifference compares what the template says, and what only templates of other revisions say and so must be gone.
func (w *World) metadataDifference(p Promise, is, wanted map[string]string, of func(*corev1.PodTemplateSpec) map[string]string) string {
	isOurs := func(key string) bool { return p.MayDiffer == nil || !p.MayDiffer(key) }
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		if isOurs(key) && is[key] != wanted[key] {
			return fmt.Sprintf("%s is %q instead of %q", key, is[key], wanted[key])
		}
	}
	for _, rev := range w.Revisions() {
		for key := range of(w.templateOf(rev)) {
			_, isWanted := wanted[key]
			if _, isThere := is[key]; isThere && !isWanted && isOurs(key) {
				return "that is not in it is still there, such as " + key
			}
		}
	}
	return ""
}

// revisionNamed is the revision that a label means, in its full or its short form; nil when there is none.
func (w *World) revisionNamed(label string) *appsv1.ControllerRevision {
	for _, rev := range w.Revisions() {
		if label != "" && (rev.Name == label || strings.HasSuffix(rev.Name, "-"+label)) {
			return rev
		}
	}
	return nil
}

// Newest is the template of the revision with the greatest number; nil when there is none.
func (w *World) Newest() *corev1.PodTemplateSpec {
	var newest *appsv1.ControllerRevision
	for _, rev := range w.Revisions() {
		if newest == nil || rev.Revision > newest.Revision {
			newest = rev
		}
	}
	if newest == nil {
		return nil
	}
	return w.templateOf(newest)
}

// templateOf reads the template out of a revision, once. What cannot be read is empty, so that no Pod equals it.
func (w *World) templateOf(rev *appsv1.ControllerRevision) *corev1.PodTemplateSpec {
	if known := w.templates[rev.UID]; known != nil {
		return known
	}
	var data struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(rev.Data.Raw, &data)
	w.templates[rev.UID] = &data.Spec.Template
	return &data.Spec.Template
}
