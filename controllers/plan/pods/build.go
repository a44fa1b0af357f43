// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// Identity is what distinguishes one Pod of a workload from its siblings.
type Identity struct {
	Namespace string
	Name      string
	// GenerateName is the part of the name that siblings share. The name is complete without it; clients read it to find out where a Pod comes from.
	GenerateName string
	// Owner becomes the controller reference.
	Owner metav1.OwnerReference
	// Labels and Annotations are added to those of the template, and win over them.
	Labels      map[string]string
	Annotations map[string]string
}

// IsMark reports whether a label is one by which controllers know their Pods: which instance and of which revision one is, and in which state. What a template says of them
// means nothing.
func IsMark(label string) bool {
	switch label {
	case appsv1.ControllerRevisionHashLabelKey, appsv1.DefaultDeploymentUniqueLabelKey, pub.LifecycleStateKey, kruisev1beta1.CloneSetInstanceIDKey:
		return true
	default:
		return false
	}
}

// Build makes a new Pod from a template. It has the readiness gate InPlaceUpdateReady, so that it can be updated in place
// later whatever the policy is now, and KruisePodReady, so that hooks and others can hold it not ready.
func Build(template *corev1.PodTemplateSpec, id Identity) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       id.Namespace,
			Name:            id.Name,
			GenerateName:    id.GenerateName,
			Labels:          merged(template.Labels, id.Labels),
			Annotations:     merged(WithoutTracking(template.Annotations), id.Annotations),
			Finalizers:      slices.Clone(template.Finalizers),
			OwnerReferences: []metav1.OwnerReference{id.Owner},
		},
		Spec: *template.Spec.DeepCopy(),
	}
	injectGate(pod, pub.InPlaceUpdateReady)
	// COMPAT: the published suite gives this one to every Pod of its workloads, in a webhook.
	injectGate(pod, pub.KruisePodReady)
	// COMPAT: the published suite gives containers without a pull policy Always, whatever their tag.
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].ImagePullPolicy == "" {
			pod.Spec.Containers[i].ImagePullPolicy = corev1.PullAlways
		}
	}
	return pod
}

func injectGate(pod *corev1.Pod, kind corev1.PodConditionType) {
	gate := corev1.PodReadinessGate{ConditionType: kind}
	if !slices.Contains(pod.Spec.ReadinessGates, gate) {
		pod.Spec.ReadinessGates = append(pod.Spec.ReadinessGates, gate)
	}
}

// WithoutTracking returns annotations without those by which GitOps tools and kubectl recognise their own objects: on a child
// they would make it look like an object from Git that is to be pruned. The input is not changed.
func WithoutTracking(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	maps.DeleteFunc(kept, func(key, _ string) bool {
		return key == corev1.LastAppliedConfigAnnotation ||
			strings.HasPrefix(key, "argocd.argoproj.io/") ||
			strings.HasPrefix(key, "kustomize.toolkit.fluxcd.io/")
	})
	return kept
}

func merged(base, over map[string]string) map[string]string {
	out := make(map[string]string, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}
