// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/json"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keelson/keelson/controllers/plan"
)

// create creates an object, unless its name is taken.
func (w *World) create(a plan.Action) error {
	name := a.Object.GetName()
	before := w.Pods()
	switch object := a.Object.(type) {
	case *corev1.Pod:
		if w.pods[name] != nil {
			return apierrors.NewAlreadyExists(resourceOf(object), name)
		}
		pod := object.DeepCopy()
		w.register(&pod.ObjectMeta, "pod")
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
		completeResources(pod)
		w.pods[name] = pod
		w.show(nil, pod)
		w.use(name)
		w.accepted(Write{Action: a, Before: before, New: pod})
		w.serveClaims(pod)
	case *appsv1.ControllerRevision:
		if w.revisions[name] != nil {
			return apierrors.NewAlreadyExists(resourceOf(object), name)
		}
		w.AddRevision(object)
		w.accepted(Write{Action: a, Before: before})
	case *corev1.PersistentVolumeClaim:
		return w.createClaim(a, object)
	default:
		return fmt.Errorf("creating %s: the world has no place for a %T", name, object)
	}
	return nil
}

// delete deletes an object that still has the UID that was observed, and its version where the action is locked.
func (w *World) delete(a plan.Action) error {
	name, uid := a.Object.GetName(), a.Object.GetUID()
	before := w.Pods()
	switch object := a.Object.(type) {
	case *corev1.Pod:
		old := w.pods[name]
		if old == nil {
			return apierrors.NewNotFound(resourceOf(object), name)
		}
		if old.UID != uid || isLockedOut(a, old) {
			return errorFor(Conflict, object)
		}
		w.terminate(old)
		w.accepted(Write{Action: a, Before: before, Old: old, New: w.pods[name]})
		w.dismissClaims(old)
	case *appsv1.ControllerRevision:
		old := w.revisions[name]
		if old == nil {
			return apierrors.NewNotFound(resourceOf(object), name)
		}
		if old.UID != uid || isLockedOut(a, old) {
			return errorFor(Conflict, object)
		}
		delete(w.revisions, name)
		w.show(old, nil)
		w.accepted(Write{Action: a, Before: before})
	case *corev1.PersistentVolumeClaim:
		return w.deleteClaim(a)
	default:
		return fmt.Errorf("deleting %s: the world has no place for a %T", name, object)
	}
	return nil
}

// isLockedOut reports whether a deletion asks for another version than there is.
func isLockedOut(a plan.Action, old plan.Object) bool {
	return a.Locked && old.GetResourceVersion() != a.Object.GetResourceVersion()
}

// patch makes one write of an action on the version that the controllers know, and returns the version that it gave.
func (w *World) patch(a plan.Action, change plan.Change, version string) (string, error) {
	switch a.Object.(type) {
	case *corev1.Pod:
		return w.patchPod(a, change, version)
	case *appsv1.ControllerRevision:
		return w.patchRevision(a, change, version)
	case *corev1.PersistentVolumeClaim:
		return w.patchClaim(a, change, version)
	default:
		return "", fmt.Errorf("patching %s: the world has no place for a %T", a.Object.GetName(), a.Object)
	}
}

func (w *World) patchPod(a plan.Action, change plan.Change, version string) (string, error) {
	old := w.pods[a.Object.GetName()]
	if old == nil {
		return "", apierrors.NewNotFound(resourceOf(a.Object), a.Object.GetName())
	}
	if old.UID != a.Object.GetUID() || old.ResourceVersion != version && !change.Unlocked {
		return "", errorFor(Conflict, a.Object)
	}
	pod := &corev1.Pod{}
	if err := merge(old, change.Patch, pod); err != nil {
		return "", err
	}
	if change.Subresource == "resize" && w.Refuses && w.isTooMuch(requestedCPU(pod)) {
		return "", &refusedResize{apierrors.NewForbidden(resourceOf(pod), pod.Name, errNotEnough)}
	}
	if err := admit(old, pod, change.Subresource); err != nil {
		return "", err
	}
	if equality.Semantic.DeepEqual(old, pod) {
		// A write that changes nothing gives no new version; the watchers learn of it all the same.
		w.accepted(Write{Action: a, Before: w.Pods(), Old: old, New: old})
		return old.ResourceVersion, nil
	}
	before := w.Pods()
	w.store(pod)
	w.accepted(Write{Action: a, Before: before, Old: old, New: pod})
	return pod.ResourceVersion, nil
}

func (w *World) patchRevision(a plan.Action, change plan.Change, version string) (string, error) {
	old := w.revisions[a.Object.GetName()]
	if old == nil {
		return "", apierrors.NewNotFound(resourceOf(a.Object), a.Object.GetName())
	}
	if old.UID != a.Object.GetUID() || old.ResourceVersion != version {
		return "", errorFor(Conflict, a.Object)
	}
	rev := &appsv1.ControllerRevision{}
	if err := merge(old, change.Patch, rev); err != nil {
		return "", err
	}
	if string(rev.Data.Raw) != string(old.Data.Raw) {
		return "", invalid(a.Object, field.Forbidden(field.NewPath("data"), "it cannot change"))
	}
	w.version++
	rev.ResourceVersion = strconv.FormatInt(w.version, 10)
	w.revisions[rev.Name] = rev
	w.show(old, rev)
	w.accepted(Write{Action: a, Before: w.Pods()})
	return rev.ResourceVersion, nil
}

// merge applies a strategic merge patch to an object, as the API server does.
func merge[T any](old *T, patch []byte, into *T) error {
	raw, err := json.Marshal(old)
	if err != nil {
		return fmt.Errorf("encoding the object: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatch(raw, patch, *old)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if err := json.Unmarshal(merged, into); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

// admit does to a new version of a Pod what its strategy does on the way in, and refuses what cannot change.
func admit(old, pod *corev1.Pod, subresource string) error {
	if !equality.Semantic.DeepEqual(identity(old), identity(pod)) {
		return invalid(pod, field.Forbidden(field.NewPath("metadata"), "the identity of an object cannot change"))
	}
	switch subresource {
	case "status":
		pod.Spec, pod.OwnerReferences = old.Spec, old.OwnerReferences
	case "":
		pod.Status = old.Status
	case "resize":
		return admitResize(old, pod)
	default:
		return apierrors.NewNotFound(schema.GroupResource{Resource: "pods/" + subresource}, pod.Name)
	}
	mutable := old.Spec.DeepCopy()
	takeImages(mutable.Containers, pod.Spec.Containers)
	takeImages(mutable.InitContainers, pod.Spec.InitContainers)
	if !equality.Semantic.DeepEqual(mutable, &pod.Spec) {
		return invalid(pod, field.Forbidden(field.NewPath("spec"), "pod updates may not change fields other than images"))
	}
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Image == "" {
			return invalid(pod, field.Required(field.NewPath("spec", "containers").Index(i).Child("image"), ""))
		}
	}
	return nil
}

func takeImages(into, from []corev1.Container) {
	for i := range into {
		if i < len(from) && from[i].Name == into[i].Name {
			into[i].Image = from[i].Image
		}
	}
}

func identity(pod *corev1.Pod) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
		CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
	}
}

func invalid(object metav1.Object, problem *field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Object"}, object.GetName(), field.ErrorList{problem})
}

// accepted tells of a write.
func (w *World) accepted(write Write) {
	write.After = w.Pods()
	w.tell("controllers", "%s", w.describe(write))
	if w.watch != nil {
		w.watch(write)
	}
}
