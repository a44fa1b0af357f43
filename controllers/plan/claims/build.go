// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/controllers/plan/pods"
)

// Workload is what all claims of one workload have in common. It is only read.
type Workload struct {
	Namespace string
	// Name is the workload's; it is a part of the names of its claims.
	Name string
	// Owner becomes the controller reference of new claims; nil leaves them without an owner.
	Owner *metav1.OwnerReference
	// Templates are what a claim is made from, one for each volume. No templates, no claims.
	Templates []corev1.PersistentVolumeClaim
	// Labels are added to those of the templates, and win over them.
	Labels map[string]string
	// InstanceLabel is the label of a claim that holds its instance; empty writes none.
	InstanceLabel string
}

// Claim is the name of the claim that an instance gets from a template.
// COMPAT: published as <template>-<workload>-<instance>.
func (w Workload) Claim(template, instance string) string {
	return template + "-" + w.Name + "-" + instance
}

// Missing makes the claims of an instance that are not there yet, in the order of the templates.
func (w Workload) Missing(instance string, there []*corev1.PersistentVolumeClaim) []*corev1.PersistentVolumeClaim {
	var missing []*corev1.PersistentVolumeClaim
	for i := range w.Templates {
		name := w.Claim(w.Templates[i].Name, instance)
		if !slices.ContainsFunc(there, func(c *corev1.PersistentVolumeClaim) bool { return c.Name == name }) {
			missing = append(missing, w.build(&w.Templates[i], instance))
		}
	}
	return missing
}

// MissingOf is Missing for a Pod that is there already: only claims that its volumes name.
func (w Workload) MissingOf(pod *corev1.Pod, instance string, there []*corev1.PersistentVolumeClaim) []*corev1.PersistentVolumeClaim {
	return slices.DeleteFunc(w.Missing(instance, there), func(c *corev1.PersistentVolumeClaim) bool { return !Uses(pod, c.Name) })
}

func (w Workload) build(template *corev1.PersistentVolumeClaim, instance string) *corev1.PersistentVolumeClaim {
	labels := make(map[string]string, len(template.Labels)+len(w.Labels)+1)
	maps.Copy(labels, template.Labels)
	maps.Copy(labels, w.Labels)
	if w.InstanceLabel != "" {
		labels[w.InstanceLabel] = instance
	}
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   w.Namespace,
			Name:        w.Claim(template.Name, instance),
			Labels:      labels,
			Annotations: pods.WithoutTracking(template.Annotations),
			Finalizers:  slices.Clone(template.Finalizers),
		},
		Spec: *template.Spec.DeepCopy(),
	}
	if w.Owner != nil {
		claim.OwnerReferences = []metav1.OwnerReference{*w.Owner}
	}
	return claim
}

// Bind gives a Pod that is about to be created a volume for each template, under the template's name. A volume of the same name gives way.
func (w Workload) Bind(pod *corev1.Pod, instance string) {
	for i := range w.Templates {
		name := w.Templates[i].Name
		volume := corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: w.Claim(name, instance)},
		}}
		at := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
		if at < 0 {
			pod.Spec.Volumes = append(pod.Spec.Volumes, volume)
		} else {
			pod.Spec.Volumes[at] = volume
		}
	}
}

// Uses says that a volume of a Pod names a claim.
func Uses(pod *corev1.Pod, claim string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim
	})
}
