// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/claims"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
)

// volumes is what the phases of one plan share about the volume claims of the set.
type volumes struct {
	// sorted is made when somebody asks for it.
	sorted *claims.Inventory
	// given are the instances of the Pods that this plan creates.
	given map[string]bool
	// deleted are the Pods that this plan deletes.
	deleted map[types.UID]bool
	// users are the Pods of the set that count, by the claims that their volumes name and by their instances; it is made when somebody asks for it.
	users map[string][]*pods.Facts
}

// workload is what all claims of the set have in common.
func (v *view) workload() claims.Workload {
	owner := v.owner()
	return claims.Workload{
		Namespace:     v.Set.Namespace,
		Name:          v.Set.Name,
		Owner:         &owner,
		Templates:     v.Set.Spec.VolumeClaimTemplates,
		Labels:        v.Set.Spec.Selector.MatchLabels,
		InstanceLabel: kruisev1beta1.CloneSetInstanceIDKey,
	}
}

func instanceOf(f *pods.Facts) string { return f.Pod.Labels[kruisev1beta1.CloneSetInstanceIDKey] }

// inventory finds the claims that the set owns.
func (v *view) inventory() claims.Inventory {
	if v.volumes.sorted == nil {
		sorted := claims.Sort(v.Claims, kruisev1beta1.CloneSetInstanceIDKey)
		v.volumes.sorted = &sorted
	}
	return *v.volumes.sorted
}

// claimsOf are the claims of an instance.
func (v *view) claimsOf(instance string) []*corev1.PersistentVolumeClaim {
	if len(v.Claims) == 0 {
		return nil
	}
	return v.inventory().Of(instance)
}

// instanceIDs are the IDs of up to so many new Pods: first those whose claims are free, then fresh ones. A fresh ID has claims where the Pod that they
// were made for could not be created. Where a Pod is about to leave its claims free, the next one waits for them.
func (v *view) instanceIDs(d *plan.Decision, n int) []string {
	if len(v.Claims) == 0 {
		return v.FreshIDs[:min(n, len(v.FreshIDs))]
	}
	v.volumes.given = make(map[string]bool, n)
	var ids []string
	take := func(id string) {
		if len(ids) < n && !v.volumes.given[id] {
			ids, v.volumes.given[id] = append(ids, id), true
		}
	}
	if v.Set.Spec.ScaleStrategy.EnablePVCReuse {
		holders := v.holders()
		for _, id := range v.reusableIDs(func(id string) bool { return holders[id] == nil }) {
			take(id)
		}
		n = len(ids) + v.await(d, n-len(ids))
	}
	for _, id := range v.FreshIDs {
		if !slices.ContainsFunc(v.claimsOf(id), claims.IsGoing) {
			take(id)
		}
	}
	return ids
}

// reusableIDs are those of the IDs that qualify whose claims a new Pod may take over.
func (v *view) reusableIDs(qualifies func(id string) bool) []string {
	workload := v.workload()
	return v.inventory().Free(func(id string, all []*corev1.PersistentVolumeClaim) bool {
		// Without the gate a change of the templates is no reason to leave claims aside.
		isInUse := slices.ContainsFunc(all, func(c *corev1.PersistentVolumeClaim) bool {
			return len(v.Borrowers[c.Name]) > 0 || v.isUsed(c, nil)
		})
		return qualifies(id) && !v.named.Has(v.Set.Name+"-"+id) && !isInUse && workload.HasAny(id, all) && (!v.Policy.RecreateOnClaimChange || workload.Fits(id, all))
	})
}

// patience is how long a Pod that should be gone may keep its claims from the next one.
const patience = 30 * time.Second

// awaited are the Pods that are about to go, and whose claims the next ones take over. A Pod that does not go in time, as on a node that is lost, is
// not waited for.
func (v *view) awaited() []*pods.Facts {
	if len(v.Claims) == 0 || !v.Set.Spec.ScaleStrategy.EnablePVCReuse {
		return nil
	}
	holders := v.holders()
	var found []*pods.Facts
	for _, id := range v.reusableIDs(func(id string) bool { return holders[id] != nil && v.leavesClaims(holders[id]) }) {
		found = append(found, holders[id])
	}
	return found
}

func (v *view) leavesClaims(f *pods.Facts) bool {
	return f.Terminating && metav1.IsControlledBy(f.Pod, v.Set) && !v.isToDelete(f) && f.Pod.DeletionTimestamp.Add(patience).After(v.Now)
}

// await takes the Pods that have to wait for others off the number of those to create.
func (v *view) await(d *plan.Decision, n int) int {
	for _, f := range v.awaited() {
		if n == 0 {
			break
		}
		n--
		d.Note("WaitingForVolumes", fmt.Sprintf("the next Pod waits for the volumes of %s, which is about to go", f.Pod.Name))
		d.WakeIn(f.Pod.DeletionTimestamp.Add(patience).Sub(v.Now), "a Pod does not give its volumes free in time")
	}
	return n
}

// withVolumes gives a Pod that is about to be created its volumes, and creates the claims that are missing before it.
func (v *view) withVolumes(a plan.Action, pod *corev1.Pod, id string) plan.Action {
	if len(v.Set.Spec.VolumeClaimTemplates) == 0 {
		return a
	}
	workload := v.workload()
	workload.Bind(pod, id)
	for _, claim := range workload.Missing(id, v.claimsOf(id)) {
		a.First = append(a.First, createClaim(claim, plan.PhaseScale))
	}
	return a
}

// createClaim creates a claim. One that is there already will do: it has the name that the Pod asks for.
func createClaim(claim *corev1.PersistentVolumeClaim, phase plan.Phase) plan.Action {
	return plan.Action{
		Verb: plan.Create, Phase: phase, Object: claim, IfExists: plan.ExistsSuffices, Failed: createClaimFailed(),
	}
}

// withoutVolumes deletes the claims of a Pod once the Pod is deleted. What another Pod of the set lives on stays, and what a stranger uses becomes the stranger's.
func (v *view) withoutVolumes(a plan.Action, f *pods.Facts) plan.Action {
	if len(v.Claims) == 0 {
		return a
	}
	if v.volumes.deleted == nil {
		v.volumes.deleted = map[types.UID]bool{}
	}
	v.volumes.deleted[f.Pod.UID] = true
	for _, claim := range v.claimsOf(instanceOf(f)) {
		borrowers := v.Borrowers[claim.Name]
		switch {
		case claim.DeletionTimestamp != nil || v.isUsed(claim, f):
		case len(borrowers) > 0:
			a.Then = append(a.Then, v.handOver(claim, plan.PhaseScale, borrowers...))
		default:
			// Where claims are reused this is the only time to delete it: later it would be one of a Pod that others took away.
			dismissed := deleteClaim(claim, plan.PhaseScale, deleteClaimFailed(claim.Name))
			dismissed.Locked = !v.Set.Spec.ScaleStrategy.EnablePVCReuse
			a.Then = append(a.Then, dismissed)
		}
	}
	return a
}

// isUsed reports whether a Pod of the set that counts, other than one, and that this plan does not delete, lives on a claim: its volumes name it, or it has the
// claim's instance ID, as two Pods may where somebody wrote labels by hand.
func (v *view) isUsed(claim *corev1.PersistentVolumeClaim, besides *pods.Facts) bool {
	if v.volumes.users == nil {
		v.volumes.users = make(map[string][]*pods.Facts, 2*len(v.active))
		note := func(key string, f *pods.Facts) { v.volumes.users[key] = append(v.volumes.users[key], f) }
		for _, f := range v.active {
			note("instance "+instanceOf(f), f)
			for i := range f.Pod.Spec.Volumes {
				if source := f.Pod.Spec.Volumes[i].PersistentVolumeClaim; source != nil {
					note(source.ClaimName, f)
				}
			}
		}
	}
	lives := func(f *pods.Facts) bool { return f != besides && !v.volumes.deleted[f.Pod.UID] }
	return slices.ContainsFunc(v.volumes.users[claim.Name], lives) ||
		slices.ContainsFunc(v.volumes.users["instance "+claim.Labels[kruisev1beta1.CloneSetInstanceIDKey]], lives)
}

// handOver makes Pods the owners of a claim.
func (v *view) handOver(claim *corev1.PersistentVolumeClaim, phase plan.Phase, to ...*corev1.Pod) plan.Action {
	return plan.Action{
		Verb: plan.Patch, Phase: phase, Object: claim, Changes: []plan.Change{claims.HandOver(v.Set.UID, to...)}, Failed: updateClaimFailed(claim.Name),
	}
}

func deleteClaim(claim *corev1.PersistentVolumeClaim, phase plan.Phase, failed plan.Event) plan.Action {
	return plan.Action{Verb: plan.Delete, Phase: phase, Object: claim, Failed: failed}
}

// settleClaims decides what becomes of claims whose Pod does not count any more, and makes those that a Pod without a node waits for.
func (v *view) settleClaims(d *plan.Decision) {
	if len(v.Set.Spec.VolumeClaimTemplates) > 0 {
		v.restoreClaims(d)
	}
	if len(v.Claims) == 0 {
		return
	}
	holders := v.holders()
	policy := claims.Policy{Reuse: v.Set.Spec.ScaleStrategy.EnablePVCReuse}
	var actions []plan.Action
	for _, claim := range v.Claims {
		id := claim.Labels[kruisev1beta1.CloneSetInstanceIDKey]
		if id == "" || claim.DeletionTimestamp != nil || v.volumes.given[id] {
			continue
		}
		f := holders[id]
		switch policy.Fate(v.holderOf(f, claim, policy)) {
		case claims.Follow:
			to := v.Borrowers[claim.Name]
			if f != nil && metav1.IsControlledBy(f.Pod, v.Set) {
				to = append([]*corev1.Pod{f.Pod}, to...)
			}
			actions = append(actions, v.handOver(claim, plan.PhaseVolumes, to...))
		case claims.Drop:
			// Somebody may take the owner off the claim at this moment, to keep its data: it is deleted as it was seen, or looked at again.
			dropped := deleteClaim(claim, plan.PhaseVolumes, cleanClaimFailed(claim.Name))
			dropped.Locked = true
			actions = append(actions, dropped)
		}
	}
	slices.SortFunc(actions, func(a, b plan.Action) int { return strings.Compare(a.Object.GetName(), b.Object.GetName()) })
	d.Act(actions...)
}

// holders are the Pods that claims may have been made for, by instance.
func (v *view) holders() map[string]*pods.Facts {
	all := make(map[string]*pods.Facts, len(v.Pods)+len(v.Released))
	for id, f := range v.Released {
		all[id] = f
	}
	for _, f := range v.Pods {
		// NOTE: two Pods may carry one ID where somebody wrote labels by hand; the one that counts is the holder, or the first by name.
		id := instanceOf(f)
		if old := all[id]; old == nil || f.IsActive() && !old.IsActive() || f.IsActive() == old.IsActive() && f.Pod.Name < old.Pod.Name {
			all[id] = f
		}
	}
	return all
}

// holderOf says what became of the Pod of a claim; nil is no Pod. Strangers that use the claim of a Pod that is gone keep it from being deleted; where claims are kept
// for the next Pod anyway, they get nothing, for the claim would go with them.
func (v *view) holderOf(f *pods.Facts, claim *corev1.PersistentVolumeClaim, policy claims.Policy) claims.Holder {
	isOurs := f != nil && metav1.IsControlledBy(f.Pod, v.Set)
	switch {
	case isOurs && f.IsActive() || v.isUsed(claim, nil):
		return claims.Counting
	case !isOurs && v.isLent(f, claim, policy):
		return claims.Released
	case !isOurs:
		return claims.Gone
	case f.Terminating && v.isToDelete(f):
		return claims.Dismissed
	default:
		return claims.Leaving
	}
}

// isLent reports whether a claim is to go to those that use it and do not belong to the set.
func (v *view) isLent(f *pods.Facts, claim *corev1.PersistentVolumeClaim, policy claims.Policy) bool {
	return slices.ContainsFunc(v.Borrowers[claim.Name], func(pod *corev1.Pod) bool { return !policy.Reuse || f != nil && pod.UID == f.Pod.UID })
}

// restoreClaims makes the claims again that were deleted before the scheduler found a node for their Pod: it would wait for ever.
func (v *view) restoreClaims(d *plan.Decision) {
	var workload claims.Workload
	for _, f := range v.active {
		id := instanceOf(f)
		if f.Scheduled || id == "" || v.touched[f.Pod.UID] {
			continue
		}
		if workload.Name == "" {
			workload = v.workload()
		}
		for _, claim := range workload.MissingOf(f.Pod, id, v.claimsOf(id)) {
			d.Act(createClaim(claim, plan.PhaseVolumes))
		}
	}
}

// markClaims notes in a new revision which templates its Pods get their volumes from. A set without templates says so: an empty hash.
func markClaims(set *kruisev1beta1.CloneSet, rev *appsv1.ControllerRevision) {
	if rev.Annotations == nil {
		rev.Annotations = map[string]string{}
	}
	maps.Copy(rev.Annotations, claimsMarks(set))
}

// claimsMarks are the annotations that tell the hash of the templates.
func claimsMarks(set *kruisev1beta1.CloneSet) map[string]string {
	hash := claims.Hash(set.Spec.VolumeClaimTemplates)
	return map[string]string{kruisev1beta1.CloneSetClaimTemplatesHashKey: hash, kruisev1beta1.CloneSetComparedClaimTemplatesHashKey: hash}
}

// comparedHash is the hash of claim templates that a revision tells, and whether it tells one.
// COMPAT: whoever removes the published annotation from a revision lets its Pods be updated in place whatever their claims are.
func comparedHash(rev *appsv1.ControllerRevision) (hash string, isKnown bool) {
	_, isPublished := rev.Annotations[kruisev1beta1.CloneSetClaimTemplatesHashKey]
	hash, isKnown = rev.Annotations[kruisev1beta1.CloneSetComparedClaimTemplatesHashKey]
	return hash, isKnown && isPublished
}

// claimsVerdict says whether a Pod may go from one revision to another and keep its volumes.
func (v *view) claimsVerdict(from string, to *appsv1.ControllerRevision) plan.Verdict {
	if !v.Policy.RecreateOnClaimChange || v.strategy.PodUpdatePolicy == kruisev1beta1.InPlaceOnlyPodUpdatePolicyType {
		return plan.Yes()
	}
	for _, rev := range v.history {
		if !revision.Matches(from, rev.Name) {
			continue
		}
		was, isKnown := comparedHash(rev)
		is, isMarked := comparedHash(to)
		if to == v.choice.Update && v.comesBack() {
			is, isMarked = claims.Hash(v.Set.Spec.VolumeClaimTemplates), true
		}
		// A revision that says nothing was made by another program: nobody knows with which templates.
		if isKnown && isMarked && was != is {
			return plan.No(inplace.ReasonNotInPlace, "spec.volumeClaimTemplates has changed, and a Pod that exists cannot get other volumes")
		}
	}
	return plan.Yes()
}
