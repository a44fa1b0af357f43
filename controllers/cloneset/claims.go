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
		return qualifies(id) && workload.HasAny(id, all) && (!v.Policy.RecreateOnClaimChange || workload.Fits(id, all))
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

// withoutVolumes deletes the claims of a Pod once the Pod is deleted.
func (v *view) withoutVolumes(a plan.Action, f *pods.Facts) plan.Action {
	if len(v.Claims) == 0 {
		return a
	}
	for _, claim := range v.claimsOf(instanceOf(f)) {
		if claim.DeletionTimestamp == nil {
			a.Then = append(a.Then, plan.Action{Verb: plan.Delete, Phase: plan.PhaseScale, Object: claim, Failed: deleteClaimFailed(claim.Name)})
		}
	}
	return a
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
		switch policy.Fate(v.holderOf(f, claim)) {
		case claims.Follow:
			actions = append(actions, plan.Action{
				Verb: plan.Patch, Phase: plan.PhaseVolumes, Object: claim, Changes: []plan.Change{claims.HandOver(v.Set.UID, f.Pod)},
				Failed: updateClaimFailed(claim.Name),
			})
		case claims.Drop:
			actions = append(actions, plan.Action{Verb: plan.Delete, Phase: plan.PhaseVolumes, Object: claim, Failed: cleanClaimFailed(claim.Name)})
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

// holderOf says what became of the Pod of a claim; nil is no Pod.
func (v *view) holderOf(f *pods.Facts, claim *corev1.PersistentVolumeClaim) claims.Holder {
	switch {
	case f == nil:
		return claims.Gone
	case !metav1.IsControlledBy(f.Pod, v.Set):
		if claims.Uses(f.Pod, claim.Name) {
			return claims.Released
		}
		return claims.Gone
	case f.IsActive():
		return claims.Counting
	case f.Terminating && v.isToDelete(f):
		return claims.Dismissed
	default:
		return claims.Leaving
	}
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

// markClaims notes in a new revision which templates its Pods get their volumes from.
func markClaims(set *kruisev1beta1.CloneSet, rev *appsv1.ControllerRevision) {
	if hash := claims.Hash(set.Spec.VolumeClaimTemplates); hash != "" {
		if rev.Annotations == nil {
			rev.Annotations = map[string]string{}
		}
		maps.Copy(rev.Annotations, claimsMarks(hash))
	}
}

// claimsMarks are the annotations that tell the hash.
func claimsMarks(hash string) map[string]string {
	return map[string]string{kruisev1beta1.CloneSetClaimTemplatesHashKey: hash, kruisev1beta1.CloneSetComparedClaimTemplatesHashKey: hash}
}

// staleClaimsHash is the hash that the annotation of the update revision should have and has not; empty when nothing is to be written.
// COMPAT: templates that change alone make no new revision: the one that there is gets the new hash, and no Pod changes.
func (v *view) staleClaimsHash() string {
	if !v.Policy.RecreateOnClaimChange || v.choice.Create {
		return ""
	}
	hash := claims.Hash(v.Set.Spec.VolumeClaimTemplates)
	if hash == v.choice.Update.Annotations[kruisev1beta1.CloneSetComparedClaimTemplatesHashKey] {
		return ""
	}
	return hash
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
		was, is := rev.Annotations[kruisev1beta1.CloneSetComparedClaimTemplatesHashKey], to.Annotations[kruisev1beta1.CloneSetComparedClaimTemplatesHashKey]
		// A revision that says nothing was made by another program, before the gate was on, or for a set without templates.
		if was != "" && is != "" && was != is {
			return plan.No(inplace.ReasonNotInPlace, "spec.volumeClaimTemplates has changed, and a Pod that exists cannot get other volumes")
		}
	}
	return plan.Yes()
}
