// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keelson/keelson/controllers/plan"
)

// Claims are the PersistentVolumeClaims that an owner controls, sorted by name.
func (w *World) Claims(owner types.UID) []*corev1.PersistentVolumeClaim {
	return slices.DeleteFunc(sortedValues(w.claims), func(c *corev1.PersistentVolumeClaim) bool {
		controller := metav1.GetControllerOfNoCopy(c)
		return controller == nil || controller.UID != owner
	})
}

// Claim is the PersistentVolumeClaim of that name, whomever it belongs to, or nil.
func (w *World) Claim(name string) *corev1.PersistentVolumeClaim { return w.claims[name] }

// DeleteClaim deletes a claim on behalf of somebody else than the controllers.
func (w *World) DeleteClaim(name string) {
	if claim := w.claims[name]; claim != nil {
		w.endClaim(claim)
	}
}

func (w *World) createClaim(a plan.Action, object *corev1.PersistentVolumeClaim) error {
	if w.claims[object.Name] != nil {
		return apierrors.NewAlreadyExists(resourceOf(object), object.Name)
	}
	claim := object.DeepCopy()
	w.register(&claim.ObjectMeta, "claim")
	w.claims[claim.Name] = claim
	w.show(nil, claim)
	w.accepted(Write{Action: a, Before: w.Pods(), Claim: claim})
	return nil
}

func (w *World) deleteClaim(a plan.Action) error {
	old := w.claims[a.Object.GetName()]
	if old == nil {
		return apierrors.NewNotFound(resourceOf(a.Object), a.Object.GetName())
	}
	if old.UID != a.Object.GetUID() || isLockedOut(a, old) {
		return errorFor(Conflict, a.Object)
	}
	w.endClaim(old)
	w.accepted(Write{Action: a, Before: w.Pods(), Claim: old})
	return nil
}

func (w *World) patchClaim(a plan.Action, change plan.Change, version string) (string, error) {
	old := w.claims[a.Object.GetName()]
	if old == nil {
		return "", apierrors.NewNotFound(resourceOf(a.Object), a.Object.GetName())
	}
	if old.UID != a.Object.GetUID() || old.ResourceVersion != version {
		return "", errorFor(Conflict, a.Object)
	}
	claim := &corev1.PersistentVolumeClaim{}
	if err := merge(old, change.Patch, claim); err != nil {
		return "", err
	}
	if !equality.Semantic.DeepEqual(old.Spec, claim.Spec) {
		return "", invalid(a.Object, field.Forbidden(field.NewPath("spec"), "it cannot change"))
	}
	w.version++
	claim.ResourceVersion = strconv.FormatInt(w.version, 10)
	w.claims[claim.Name] = claim
	w.show(old, claim)
	w.accepted(Write{Action: a, Before: w.Pods(), Claim: old})
	return claim.ResourceVersion, nil
}

// endClaim deletes a claim. While a Pod on a node uses it, it stays and is protected.
func (w *World) endClaim(claim *corev1.PersistentVolumeClaim) {
	if !w.isProtected(claim) {
		delete(w.claims, claim.Name)
		w.show(claim, nil)
		return
	}
	if claim.DeletionTimestamp == nil {
		ending, now := claim.DeepCopy(), w.stamp()
		ending.DeletionTimestamp = &now
		w.version++
		ending.ResourceVersion = strconv.FormatInt(w.version, 10)
		w.claims[claim.Name] = ending
		w.show(claim, ending)
	}
}

func (w *World) isProtected(claim *corev1.PersistentVolumeClaim) bool {
	for _, pod := range w.pods {
		if pod.Spec.NodeName != "" && !isEnded(pod) && slices.Contains(claimsOf(pod), claim.Name) {
			return true
		}
	}
	return false
}

// collectClaims removes the claims that waited for the end of a Pod: those that are being deleted, and those that it owned.
func (w *World) collectClaims(gone *corev1.Pod) {
	for _, claim := range sortedValues(w.claims) {
		isOwned := slices.ContainsFunc(claim.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == gone.UID })
		if !isOwned && claim.DeletionTimestamp == nil {
			continue
		}
		if w.endClaim(claim); w.claims[claim.Name] == nil {
			w.tell("cluster", "removes claim %s", claim.Name)
		}
	}
}

// hasClaims says that a Pod can be scheduled as far as its claims are concerned.
func (w *World) hasClaims(pod *corev1.Pod) bool {
	return !slices.ContainsFunc(claimsOf(pod), func(name string) bool { return w.claims[name] == nil || w.claims[name].DeletionTimestamp != nil })
}

// serveClaims notes that the claims of a new Pod are about to hold its data. Whatever became of the Pod that had them before, that data is wanted.
func (w *World) serveClaims(pod *corev1.Pod) {
	for _, name := range claimsOf(pod) {
		if claim := w.claims[name]; claim != nil {
			w.served[claim.UID] = true
			delete(w.dismissed, claim.UID)
		}
	}
}

// dismissClaims notes that the controllers deleted a Pod, and want its data no more. Who deletes what others have deleted already says nothing of its data.
func (w *World) dismissClaims(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		return
	}
	for _, name := range claimsOf(pod) {
		if claim := w.claims[name]; claim != nil {
			w.dismissed[claim.UID] = true
		}
	}
}

// useClaimed uses up the IDs that have claims: controllers that start anew do not know that they offered them.
func (w *World) useClaimed() {
	for name := range w.claims {
		w.use(name)
	}
}

// claimsOf are the names of the claims that a Pod uses.
func claimsOf(pod *corev1.Pod) []string {
	var names []string
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return names
}

// INVARIANT: a Pod is created only when all claims that its volumes name are there and stay.
func checkVolumesFirst(w *World, _ Promise, write Write) string {
	if write.Old != nil || write.New == nil {
		return ""
	}
	for _, name := range claimsOf(write.New) {
		switch claim := w.claims[name]; {
		case claim == nil:
			return "creating " + write.New.Name + " without its claim " + name
		case claim.DeletionTimestamp != nil:
			return "creating " + write.New.Name + " while its claim " + name + " is being deleted"
		}
	}
	return ""
}

// INVARIANT: no claim is deleted while a live Pod uses it, whomever that belongs to, and none that is kept for reuse, unless its Pod was deleted by the same hands.
func checkVolumesKept(w *World, p Promise, write Write) string {
	if write.Claim == nil || write.Action.Verb == plan.Create {
		return ""
	}
	name := write.Claim.Name
	if write.Action.Verb == plan.Patch {
		return checkHandedOver(w, p, write.Claim)
	}
	for _, pod := range sortedValues(w.pods) {
		if isActive(pod) && slices.Contains(claimsOf(pod), name) {
			return "deleting claim " + name + ", which " + pod.Name + " uses"
		}
	}
	if p.ReuseVolumes && w.served[write.Claim.UID] && !w.dismissed[write.Claim.UID] {
		return "deleting claim " + name + ", which is kept for reuse"
	}
	return ""
}

// checkHandedOver checks that a claim follows only a Pod that is about to go, and one that is kept for reuse only a Pod that somebody named or the controllers deleted, or
// the one that it was made for and that was taken out of the set.
func checkHandedOver(w *World, p Promise, claim *corev1.PersistentVolumeClaim) string {
	name := claim.Name
	for _, pod := range w.Pods() {
		isKept := p.ReuseVolumes && !p.isNamed(pod) && !w.dismissed[claim.UID]
		if slices.Contains(claimsOf(pod), name) && (isActive(pod) || isKept) {
			return "handing claim " + name + " to " + pod.Name + ", which has it only for a time"
		}
	}
	isLeft := func(pod *corev1.Pod) bool { return strings.HasSuffix(name, "-"+pod.Name) }
	if p.ReuseVolumes && !w.dismissed[claim.UID] && !slices.ContainsFunc(slices.Collect(maps.Values(w.pods)), isLeft) {
		return "handing claim " + name + " to strangers, which the next Pod is to have"
	}
	return ""
}

// INVARIANT: no Pod gets the data of another, unless claims are reused.
func checkVolumesFresh(w *World, p Promise, write Write) string {
	if write.Old != nil || write.New == nil || p.ReuseVolumes {
		return ""
	}
	for _, name := range claimsOf(write.New) {
		if claim := w.claims[name]; claim != nil && w.served[claim.UID] {
			return "creating " + write.New.Name + " with the used claim " + name
		}
	}
	return ""
}
