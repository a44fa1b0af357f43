// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// ReasonNotInPlace is the reason of a Verdict against an update in place.
const ReasonNotInPlace = "ChangeNeedsRecreate"

// Options say what may change in place beside images and metadata; the zero value lets nothing more.
type Options struct {
	// EnvFromMetadata lets labels and annotations change that a container's environment follows: the node agent restarts the container.
	EnvFromMetadata bool
	// VerticalScaling lets requests and limits of CPU and memory change, within the QoS class of the Pod.
	VerticalScaling bool
}

// OptionsOf are the options that the feature gates give.
func OptionsOf(p plan.Policy) Options {
	return Options{EnvFromMetadata: p.EnvFromMetadata, VerticalScaling: p.VerticalScaling}
}

// Spec is the difference between two templates, as far as it can be made on a running Pod. Its zero value changes nothing.
type Spec struct {
	// Images maps the names of containers, native sidecars among them, to their new images.
	Images map[string]string
	// Resources maps the names of containers to the requests and limits that change.
	Resources map[string]corev1.ResourceRequirements
	// RefMetadata maps the names of containers to the new labels and annotations that their environment follows.
	RefMetadata map[string]metav1.ObjectMeta
	// Labels and Annotations are the other new values by key; nil removes the key, whether an environment follows it or not.
	Labels      map[string]*string
	Annotations map[string]*string
}

// Containers are the sorted names of the containers that change.
func (s Spec) Containers() []string {
	all := slices.Collect(maps.Keys(s.Images))
	all = slices.AppendSeq(all, maps.Keys(s.Resources))
	all = slices.AppendSeq(all, maps.Keys(s.RefMetadata))
	slices.Sort(all)
	return slices.Compact(all)
}

// Diff says what leads from one template to another on a running Pod. The Verdict is negative, and names the field, when anything differs but
// images of containers and native sidecars, labels and annotations, and what the options let change. Templates are compared by the Pods that they make: a default
// that one of them leaves out is no difference, and neither is a pull policy.
func Diff(old, updated *corev1.PodTemplateSpec, o Options) (Spec, plan.Verdict) {
	old, updated = pods.Normal(old), pods.Normal(updated)
	pods.EqualizePullPolicies(&old.Spec, &updated.Spec)
	spec := Spec{
		Images:      map[string]string{},
		Labels:      withoutMarks(changes(old.Labels, updated.Labels)),
		Annotations: changes(pods.WithoutTracking(old.Annotations), pods.WithoutTracking(updated.Annotations)),
	}
	// The old spec with what may change must be the new spec.
	patched := old.Spec
	patched.Containers = spec.take(old.Spec.Containers, updated.Spec.Containers, func(*corev1.Container) bool { return true })
	patched.InitContainers = spec.take(old.Spec.InitContainers, updated.Spec.InitContainers, isSidecar)
	if o.VerticalScaling {
		spec.takeResources(patched.Containers, updated.Spec.Containers)
	}
	if !equality.Semantic.DeepEqual(&patched, &updated.Spec) {
		field := firstDifference(&patched, &updated.Spec)
		return Spec{}, plan.No(ReasonNotInPlace, "spec.template.spec%s cannot change in place", field)
	}
	if before, after := qosClass(&old.Spec), qosClass(&updated.Spec); before != after {
		return Spec{}, plan.No(ReasonNotInPlace,
			"spec.template.spec.containers: resources cannot change in place when the QoS class changes with them, here from %s to %s", before, after)
	}
	if v := spec.refer(&updated.Spec, o); !v.OK {
		return Spec{}, v
	}
	return spec, plan.Yes()
}

// take notes the new images of those containers that may have one, and returns the old containers with them.
func (s *Spec) take(old, updated []corev1.Container, may func(*corev1.Container) bool) []corev1.Container {
	patched := slices.Clone(old)
	for i := range patched {
		c := &patched[i]
		if i >= len(updated) || updated[i].Name != c.Name {
			break
		}
		if image := updated[i].Image; image != c.Image && may(c) {
			s.Images[c.Name] = image
			c.Image = image
		}
	}
	return patched
}

// refer moves the new values of labels and annotations that containers follow from the metadata to RefMetadata.
func (s *Spec) refer(spec *corev1.PodSpec, o Options) plan.Verdict {
	var used []envRef
	for _, c := range LongRunning(spec) {
		for _, ref := range envRefs(c) {
			value, isChanged := s.metadata(ref)[ref.key]
			if !isChanged {
				continue
			}
			if !o.EnvFromMetadata {
				return plan.No(ReasonNotInPlace, "spec.template.metadata: the environment of container %s follows %s, "+
					"which cannot change in place while the feature gate InPlaceUpdateEnvFromMetadata is off", c.Name, ref.path)
			}
			if value != nil {
				s.follow(c.Name, ref, *value)
				used = append(used, ref)
			}
		}
	}
	for _, ref := range used {
		delete(s.metadata(ref), ref.key)
	}
	return plan.Yes()
}

func (s *Spec) follow(container string, ref envRef, value string) {
	meta := s.RefMetadata[container]
	target := &meta.Annotations
	if ref.isLabel {
		target = &meta.Labels
	}
	if *target == nil {
		*target = map[string]string{}
	}
	(*target)[ref.key] = value
	if s.RefMetadata == nil {
		s.RefMetadata = map[string]metav1.ObjectMeta{}
	}
	s.RefMetadata[container] = meta
}

// metadata are the changes of labels or of annotations, whichever a reference is to.
func (s *Spec) metadata(ref envRef) map[string]*string {
	if ref.isLabel {
		return s.Labels
	}
	return s.Annotations
}

// withoutMarks leaves out the labels by which controllers know their Pods. A template that was pasted from a running Pod may carry them: a new Pod has its own
// instead, and a Pod that exists keeps its own when they are taken out of the template again.
func withoutMarks(labels map[string]*string) map[string]*string {
	maps.DeleteFunc(labels, func(key string, _ *string) bool { return pods.IsMark(key) })
	return labels
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
