// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// ReasonNotInPlace is the reason of a Verdict against an update in place.
const ReasonNotInPlace = "ChangeNeedsRecreate"

// Spec is the difference between two templates, as far as it can be made on a running Pod.
type Spec struct {
	// Images maps the names of containers to their new images.
	Images map[string]string
	// Labels and Annotations are new values by key; nil removes the key.
	Labels      map[string]*string
	Annotations map[string]*string
}

// RestartsContainers says that the change restarts containers, so that the Pod has to be drained first.
func (s Spec) RestartsContainers() bool { return len(s.Images) > 0 }

// Containers are the sorted names of the containers that restart.
func (s Spec) Containers() []string { return slices.Sorted(maps.Keys(s.Images)) }

// Diff says what leads from one template to another on a running Pod. The Verdict is negative, and names the field, when anything but
// images of containers, labels and annotations differs.
func Diff(old, updated *corev1.PodTemplateSpec) (Spec, plan.Verdict) {
	spec := Spec{
		Images:      map[string]string{},
		Labels:      changes(old.Labels, updated.Labels),
		Annotations: changes(pods.WithoutTracking(old.Annotations), pods.WithoutTracking(updated.Annotations)),
	}
	// The old spec with the new images must be the new spec.
	patched := old.Spec
	patched.Containers = slices.Clone(old.Spec.Containers)
	for i := range patched.Containers {
		c := &patched.Containers[i]
		if i >= len(updated.Spec.Containers) || updated.Spec.Containers[i].Name != c.Name {
			break
		}
		if image := updated.Spec.Containers[i].Image; image != c.Image {
			spec.Images[c.Name] = image
			c.Image = image
		}
	}
	if !equality.Semantic.DeepEqual(&patched, &updated.Spec) {
		field := firstDifference(&patched, &updated.Spec)
		return Spec{}, plan.No(ReasonNotInPlace, "spec.template.spec%s cannot change in place", field)
	}
	if name, key := envFollowing(updated.Spec.Containers, spec); name != "" {
		return Spec{}, plan.No(ReasonNotInPlace,
			"spec.template.metadata: the environment of container %s follows %s, which cannot change in place", name, key)
	}
	return spec, plan.Yes()
}

func changes(old, updated map[string]string) map[string]*string {
	diff := map[string]*string{}
	for key, value := range updated {
		if was, found := old[key]; !found || was != value {
			diff[key] = &value
		}
	}
	for key := range old {
		if _, found := updated[key]; !found {
			diff[key] = nil
		}
	}
	return diff
}

// envFollowing finds a container that reads changed metadata into its environment: it would run on with the old value.
func envFollowing(containers []corev1.Container, spec Spec) (container, key string) {
	paths := map[string]bool{}
	for k := range spec.Labels {
		paths[fmt.Sprintf("metadata.labels['%s']", k)] = true
	}
	for k := range spec.Annotations {
		paths[fmt.Sprintf("metadata.annotations['%s']", k)] = true
	}
	for i := range containers {
		for j := range containers[i].Env {
			from := containers[i].Env[j].ValueFrom
			if from != nil && from.FieldRef != nil && paths[from.FieldRef.FieldPath] {
				return containers[i].Name, from.FieldRef.FieldPath
			}
		}
	}
	return "", ""
}
