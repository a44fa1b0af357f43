// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/lifecycle"
	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
	"github.com/keelson/keelson/controllers/plan/rollout"
)

// view is a Snapshot with what all phases and the status derive from it, computed once.
type view struct {
	Snapshot
	hooks    lifecycle.Hooks
	clock    order.Clock
	strategy kruisev1beta1.RollingUpdateCloneSetStrategy
	limits   rollout.Limits
	// history is sorted, oldest first; choice says between which of its revisions the set is.
	history []*appsv1.ControllerRevision
	choice  revision.Choice
	// active are the Pods that count.
	active []*pods.Facts
	// named are the Pods of scaleStrategy.podsToDelete.
	named sets.Set[string]
	// touched are the Pods that an action of this plan writes to: no other action may.
	touched map[types.UID]bool
	// deleting are those of them that are deleted, or led to their hook for that.
	deleting map[types.UID]bool
	// asking are the Pods whose resources are still to be asked for.
	asking []*pods.Facts
	// volumes is what the phases share about volume claims.
	volumes volumes
	// diffs caches inplace.Diff by the revision that a Pod comes from.
	diffs map[route]difference
	// judged is the verdict on the update that is due, once it has been asked for.
	judged   *plan.Verdict
	isJudged bool
}

// route is from which revision, as a Pod's label names it, to which a Pod is brought.
type route struct{ from, to string }

type difference struct {
	spec    inplace.Spec
	verdict plan.Verdict
}

// look derives the view. It fails when the set says something that cannot be understood; then nothing must be done.
func look(s Snapshot) (*view, error) {
	v := &view{
		Snapshot: s,
		hooks:    lifecycle.Hooks{Lifecycle: s.Set.Spec.Lifecycle},
		clock:    order.Clock{MinReadySeconds: s.Set.Spec.MinReadySeconds, Now: s.Now},
		named:    sets.New(s.Set.Spec.ScaleStrategy.PodsToDelete...),
		touched:  map[types.UID]bool{},
		deleting: map[types.UID]bool{},
		diffs:    map[route]difference{},
		history:  slices.Clone(s.Revisions),
	}
	if rolling := s.Set.Spec.UpdateStrategy.RollingUpdate; rolling != nil {
		v.strategy = *rolling
	}
	if _, err := selectorOf(s.Set); err != nil {
		return nil, err
	}
	var err error
	if v.limits, err = v.resolveLimits(); err != nil {
		return nil, err
	}
	revision.Sort(v.history)
	wanted := s.Wanted
	if wanted == nil {
		if wanted, err = Wanted(s.Set); err != nil {
			return nil, err
		}
	}
	v.choice = revision.Choose(v.history, wanted, s.Set.Status.CurrentRevision)
	for _, f := range s.Pods {
		if f.IsActive() {
			v.active = append(v.active, f)
		}
	}
	// The order of the cache is chance; a plan must not depend on it.
	slices.SortFunc(v.active, func(a, b *pods.Facts) int { return strings.Compare(a.Pod.Name, b.Pod.Name) })
	v.choice.Current = v.current()
	return v, nil
}

// current is the revision that the set comes from: the one that its status names. Where that one is gone, or the status was lost, it is the newest that Pods still have.
func (v *view) current() *appsv1.ControllerRevision {
	named := v.choice.Current
	if named != v.choice.Update || named.Name == v.Set.Status.CurrentRevision {
		return named
	}
	for _, rev := range slices.Backward(v.history) {
		hasIt := func(f *pods.Facts) bool { return revision.Matches(f.Revision, rev.Name) }
		if rev != v.choice.Update && slices.ContainsFunc(v.active, hasIt) {
			return rev
		}
	}
	return named
}

func (v *view) isOnDelete() bool {
	return v.Set.Spec.UpdateStrategy.Type == kruisev1beta1.OnDeleteCloneSetUpdateStrategyType
}

// resolveLimits turns the strategy into numbers. Without anything said, 20% may be unavailable: rounded up, but down with a surge or
// OnDelete, which can make do without.
func (v *view) resolveLimits() (rollout.Limits, error) {
	l := rollout.Limits{Replicas: replicasOf(v.Set), ScaleMaxUnavailable: rollout.NoLimit}
	var err error
	if l.Partition, err = rollout.Partition(v.strategy.Partition, l.Replicas); err != nil {
		return l, fmt.Errorf("spec.updateStrategy.rollingUpdate.partition: %w", err)
	}
	if l.MaxSurge, err = rollout.Scaled(v.strategy.MaxSurge, intstr.FromInt32(0), l.Replicas, rollout.Up); err != nil {
		return l, fmt.Errorf("spec.updateStrategy.rollingUpdate.maxSurge: %w", err)
	}
	surge := l.MaxSurge
	if v.strategy.Paused {
		l.MaxSurge = 0
	}
	round := rollout.Up
	if l.MaxSurge > 0 || v.isOnDelete() {
		round = rollout.Down
	}
	fallback := intstr.FromString(kruisev1beta1.DefaultCloneSetMaxUnavailable)
	if l.MaxUnavailable, err = rollout.Scaled(v.strategy.MaxUnavailable, fallback, l.Replicas, round); err != nil {
		return l, fmt.Errorf("spec.updateStrategy.rollingUpdate.maxUnavailable: %w", err)
	}
	if l.MaxUnavailable == 0 && surge == 0 {
		l.MaxUnavailable = 1
	}
	if limit := v.Set.Spec.ScaleStrategy.MaxUnavailable; limit != nil {
		if l.ScaleMaxUnavailable, err = rollout.Scaled(limit, *limit, l.Replicas, rollout.Up); err != nil {
			return l, fmt.Errorf("spec.scaleStrategy.maxUnavailable: %w", err)
		}
	}
	return l, nil
}

// mostPods is how many Pods a set may have at most, its surge included.
func mostPods(set *kruisev1beta1.CloneSet) int {
	replicas := replicasOf(set)
	rolling := set.Spec.UpdateStrategy.RollingUpdate
	if rolling == nil {
		return replicas
	}
	surge, err := rollout.Scaled(rolling.MaxSurge, intstr.FromInt32(0), replicas, rollout.Up)
	if err != nil {
		return replicas
	}
	return replicas + surge
}

func replicasOf(set *kruisev1beta1.CloneSet) int {
	if set.Spec.Replicas == nil {
		return 1
	}
	return max(int(*set.Spec.Replicas), 0)
}

func (v *view) owner() metav1.OwnerReference { return ownerReference(v.Set) }

func ownerReference(set *kruisev1beta1.CloneSet) metav1.OwnerReference {
	return *metav1.NewControllerRef(set, kruisev1beta1.GroupVersion.WithKind("CloneSet"))
}

// Wanted is the revision of a set's template as it is now. It fails when the template cannot be encoded.
func Wanted(set *kruisev1beta1.CloneSet) (*appsv1.ControllerRevision, error) {
	rev, err := revision.New(revision.Owner{
		Object: set, Reference: ownerReference(set), Template: &set.Spec.Template, CollisionCount: set.Status.CollisionCount,
	})
	if err != nil {
		return nil, err
	}
	markClaims(set, rev)
	return rev, nil
}

// isUpdated says that a Pod carries the update revision.
func (v *view) isUpdated(f *pods.Facts) bool {
	return revision.Matches(f.Revision, v.choice.Update.Name)
}

// isToDelete says that somebody asked for the deletion of this very Pod.
func (v *view) isToDelete(f *pods.Facts) bool {
	return f.SpecifiedDelete || v.named.Has(f.Pod.Name)
}

func (v *view) isAvailable(f *pods.Facts) bool { return f.IsAvailable(v.clock.MinReadySeconds, v.Now) }

// free filters out the Pods that an action of this plan already writes to.
func (v *view) free(all []*pods.Facts) []*pods.Facts {
	return slices.DeleteFunc(slices.Clone(all), func(f *pods.Facts) bool { return v.touched[f.Pod.UID] })
}

// patch plans writes to one Pod, and keeps the others off it.
func (v *view) patch(d *plan.Decision, f *pods.Facts, a plan.Action) {
	a.Verb, a.Object = plan.Patch, f.Pod
	v.touched[f.Pod.UID] = true
	d.Act(a)
}

// difference is what leads a Pod from its revision to another.
func (v *view) difference(f *pods.Facts, to *appsv1.ControllerRevision) difference {
	key := route{from: f.Revision, to: to.Name}
	if found, ok := v.diffs[key]; ok {
		return found
	}
	diff := v.computeDifference(f.Revision, to)
	v.diffs[key] = diff
	return diff
}

func (v *view) computeDifference(from string, to *appsv1.ControllerRevision) difference {
	if verdict := v.claimsVerdict(from, to); !verdict.OK {
		return difference{verdict: verdict}
	}
	old, err := v.template(from)
	if err != nil {
		return difference{verdict: plan.No(inplace.ReasonNotInPlace, "%s", err)}
	}
	updated, err := v.template(to.Name)
	if err != nil {
		return difference{verdict: plan.No(inplace.ReasonNotInPlace, "%s", err)}
	}
	spec, verdict := inplace.Diff(old, updated, inplace.OptionsOf(v.Policy))
	return difference{spec: spec, verdict: verdict}
}

// template reads the template of a revision that a Pod's label names. The wanted one is known even before it is in the history.
func (v *view) template(label string) (*corev1.PodTemplateSpec, error) {
	if revision.Matches(label, v.choice.Update.Name) {
		return revision.Template(v.choice.Update)
	}
	for _, rev := range v.history {
		if revision.Matches(label, rev.Name) {
			return revision.Template(rev)
		}
	}
	return nil, fmt.Errorf("revision %q of the Pod is not in the history, so what changes is not known", label)
}

// revisionLabels mark a Pod as being at a revision.
func (v *view) revisionLabels(name string) map[string]string {
	short := revision.ShortHash(name)
	label := name
	if v.Policy.ShortHash {
		label = short
	}
	return map[string]string{appsv1.ControllerRevisionHashLabelKey: label, appsv1.DefaultDeploymentUniqueLabelKey: short}
}
