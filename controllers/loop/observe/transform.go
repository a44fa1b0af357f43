// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// Transform leaves out of an object what the caches need not hold, before they take it in. Most Pods and ControllerRevisions of a cluster belong to
// controllers of others: of those, the metadata is kept, which volume claims a Pod uses, and whether it has ended. An orphan that may be ours, by its instance ID or by an
// owner that does not control it, is kept whole, for it may be adopted; so is a Pod that its controller lets go, because the event of that brings the whole Pod. Nobody may plan on the spec or the status of a Pod that belongs to others.
func Transform(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		o.SetManagedFields(nil)
	}
	switch o := object.(type) {
	case *corev1.Pod:
		if isForeign(o) || isStray(o) {
			o.Spec, o.Status = corev1.PodSpec{Volumes: claimed(o.Spec.Volumes)}, corev1.PodStatus{Phase: o.Status.Phase}
		}
	case *appsv1.ControllerRevision:
		if isForeign(o) {
			o.Data = runtime.RawExtension{}
		}
	}
	return object, nil
}

// isStray reports whether an object without a controller never was one of ours: whoever makes bare Pods must not decide how much memory we need.
func isStray(object metav1.Object) bool {
	if metav1.GetControllerOfNoCopy(object) != nil || object.GetLabels()[kruisev1beta1.CloneSetInstanceIDKey] != "" {
		return false
	}
	return !slices.ContainsFunc(object.GetOwnerReferences(), func(owner metav1.OwnerReference) bool { return isOfOurs(owner.APIVersion) })
}

// isForeign reports whether an object has a controller of a kind that is not ours.
func isForeign(object metav1.Object) bool {
	controller := metav1.GetControllerOfNoCopy(object)
	if controller == nil {
		return false
	}
	return !isOfOurs(controller.APIVersion)
}

// isOfOurs reports whether a kind of this version is one of ours.
func isOfOurs(apiVersion string) bool {
	group, err := schema.ParseGroupVersion(apiVersion)
	return err == nil && group.Group == kruisev1beta1.GroupVersion.Group
}

// claimed are the volumes that use a claim.
func claimed(volumes []corev1.Volume) []corev1.Volume {
	var kept []corev1.Volume
	for i := range volumes {
		if volumes[i].PersistentVolumeClaim != nil {
			kept = append(kept, volumes[i])
		}
	}
	return kept
}
