// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/cloneset"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/claims"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// builder makes a CloneSet in one sentence.
type builder struct{ set *kruisev1beta1.CloneSet }

// MakeCloneSet begins with one replica of image app:v1 and what the schema defaults.
func MakeCloneSet(name string) *builder {
	one, ten := int32(1), int32(10)
	labels := map[string]string{"app": name}
	return &builder{&kruisev1beta1.CloneSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "set-1", Generation: 1},
		Spec: kruisev1beta1.CloneSetSpec{
			Replicas:             &one,
			RevisionHistoryLimit: &ten,
			Selector:             &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "app:v1"}}},
			},
			UpdateStrategy: kruisev1beta1.CloneSetUpdateStrategy{
				Type:          kruisev1beta1.RollingUpdateCloneSetUpdateStrategyType,
				RollingUpdate: &kruisev1beta1.RollingUpdateCloneSetStrategy{},
			},
		},
	}}
}

func (b *builder) rolling() *kruisev1beta1.RollingUpdateCloneSetStrategy {
	return b.set.Spec.UpdateStrategy.RollingUpdate
}

// with changes the set and goes on.
func (b *builder) with(change func()) *builder {
	change()
	return b
}

func (b *builder) Replicas(n int32) *builder { return b.with(func() { b.set.Spec.Replicas = &n }) }

func (b *builder) Image(image string) *builder {
	return b.with(func() { b.set.Spec.Template.Spec.Containers[0].Image = image })
}

func (b *builder) Sidecar(image string) *builder {
	return b.with(func() {
		c := &b.set.Spec.Template.Spec.Containers
		*c = append(*c, corev1.Container{Name: "sidecar", Image: image})
	})
}

func (b *builder) InPlaceIfPossible() *builder {
	return b.with(func() { b.rolling().PodUpdatePolicy = kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType })
}

func (b *builder) InPlaceOnly() *builder {
	return b.with(func() { b.rolling().PodUpdatePolicy = kruisev1beta1.InPlaceOnlyPodUpdatePolicyType })
}

func (b *builder) Partition(value string) *builder {
	return b.with(func() { b.rolling().Partition = numberOrPart(value) })
}

func (b *builder) MaxUnavailable(value string) *builder {
	return b.with(func() { b.rolling().MaxUnavailable = numberOrPart(value) })
}

func (b *builder) MaxSurge(value string) *builder {
	return b.with(func() { b.rolling().MaxSurge = numberOrPart(value) })
}

// Weight gives the Pods with a label a weight in the order of the update.
func (b *builder) Weight(n int32, key, value string) *builder {
	return b.with(func() {
		if b.rolling().PriorityStrategy == nil {
			b.rolling().PriorityStrategy = &pub.UpdatePriorityStrategy{}
		}
		s := b.rolling().PriorityStrategy
		s.WeightPriority = append(s.WeightPriority, pub.UpdatePriorityWeightTerm{
			Weight: n, MatchSelector: metav1.LabelSelector{MatchLabels: map[string]string{key: value}},
		})
	})
}

// OrderedBy orders the update by the numbers in a label.
func (b *builder) OrderedBy(key string) *builder {
	return b.with(func() {
		b.rolling().PriorityStrategy = &pub.UpdatePriorityStrategy{OrderPriority: []pub.UpdatePriorityOrderTerm{{OrderedKey: key}}}
	})
}

// Scatter spreads the Pods with a label over the update.
func (b *builder) Scatter(key, value string) *builder {
	return b.with(func() {
		b.rolling().ScatterStrategy = append(b.rolling().ScatterStrategy, pub.UpdateScatterTerm{Key: key, Value: value})
	})
}

// SpreadBy asks the scheduler to spread the Pods evenly.
func (b *builder) SpreadBy(topologyKey string) *builder {
	return b.with(func() {
		spec := &b.set.Spec.Template.Spec
		spec.TopologySpreadConstraints = append(spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: topologyKey, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: b.set.Spec.Selector,
		})
	})
}

func (b *builder) GracePeriodSeconds(n int32) *builder {
	return b.with(func() { b.rolling().InPlaceUpdateStrategy = &pub.InPlaceUpdateStrategy{GracePeriodSeconds: n} })
}

func (b *builder) MinReadySeconds(n int32) *builder {
	return b.with(func() { b.set.Spec.MinReadySeconds = n })
}

func (b *builder) RevisionHistoryLimit(n int32) *builder {
	return b.with(func() { b.set.Spec.RevisionHistoryLimit = &n })
}

func (b *builder) Lifecycle(l pub.Lifecycle) *builder {
	return b.with(func() { b.set.Spec.Lifecycle = &l })
}

// Volume adds a template for a volume of 1Gi.
func (b *builder) Volume(name string) *builder {
	return b.with(func() {
		b.set.Spec.VolumeClaimTemplates = append(b.set.Spec.VolumeClaimTemplates, corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		})
	})
}

// ReuseVolumes keeps the claims of Pods that others delete.
func (b *builder) ReuseVolumes() *builder {
	return b.with(func() { b.set.Spec.ScaleStrategy.EnablePVCReuse = true })
}

// Obj is the CloneSet.
func (b *builder) Obj() *kruisev1beta1.CloneSet { return b.set }

func numberOrPart(value string) *intstr.IntOrString {
	parsed := intstr.Parse(value)
	return &parsed
}

// simulated plays the controller of one CloneSet in a sim.World.
type simulated struct {
	set    *kruisev1beta1.CloneSet
	policy plan.Policy
	facts  map[string]*pods.Facts
	// seen is what the last plan looked at, and pass what it saw in it.
	seen cloneset.Snapshot
	pass cloneset.Pass
	// wanted is the encoded template of the last pass, which the hands keep as well, and encoded of which generation it is.
	wanted  *appsv1.ControllerRevision
	encoded [2]int64
	// overtaken tells of the first Pod that was updated before one of a higher priority.
	overtaken string
	// kept are the IDs that were offered to a pass which failed: they are offered again, as the hands do.
	kept []string
	// sees is what a plan looks at; nil is the world as it is.
	sees shown
	// mutate spoils each decision; nil leaves it as it is.
	mutate func(*simulated, *plan.Decision)
	// watch wakes the controller; nil where it is woken at will.
	watch *watch
	// isReversed turns the order of the cache, which is chance, round before each plan.
	isReversed bool
}

// shown is what there is, or what a cache shows of it.
type shown interface {
	Pods() []*corev1.Pod
	Revisions() []*appsv1.ControllerRevision
	Claims(owner types.UID) []*corev1.PersistentVolumeClaim
}

var (
	_ sim.Controller = &simulated{}
	_ sim.Claimer    = &simulated{}
)

func simulate(set *kruisev1beta1.CloneSet) *simulated {
	return &simulated{set: set, facts: map[string]*pods.Facts{}}
}

// Edit changes the spec as a user does.
func (s *simulated) Edit(change func(*kruisev1beta1.CloneSet)) {
	s.set = s.set.DeepCopy()
	change(s.set)
	s.set.Generation++
}

func (s *simulated) snapshot(w *sim.World) cloneset.Snapshot {
	var seen shown = w
	if s.sees != nil {
		seen = s.sees
	}
	snapshot := cloneset.Snapshot{
		Set: s.set, Revisions: seen.Revisions(), Claims: seen.Claims(s.set.UID), FreshIDs: s.freshIDs(w, seen), Policy: s.policy, Now: w.Now,
		IsLive: s.sees == nil,
	}
	if of := [2]int64{s.set.Generation, int64(ptr.Deref(s.set.Status.CollisionCount, 0))}; of != s.encoded || s.wanted == nil {
		// Without it the plan encodes the template itself.
		s.wanted, _ = cloneset.Wanted(s.set)
		s.encoded = of
	}
	snapshot.Wanted = s.wanted
	for _, pod := range seen.Pods() {
		snapshot.Pods = append(snapshot.Pods, s.read(pod))
	}
	s.lookAround(w, &snapshot)
	if s.isReversed = !s.isReversed; s.isReversed {
		slices.Reverse(snapshot.Pods)
		slices.Reverse(snapshot.Revisions)
		slices.Reverse(snapshot.Claims)
	}
	return snapshot
}

// freshIDs are those that are kept, but for those that Pods are seen to have, and then others.
func (s *simulated) freshIDs(w *sim.World, seen shown) []string {
	n := 2*int(*s.set.Spec.Replicas) + 1
	taken := map[string]bool{}
	for _, pod := range seen.Pods() {
		taken[pod.Labels[kruisev1beta1.CloneSetInstanceIDKey]] = true
	}
	ids := slices.DeleteFunc(slices.Clone(s.kept), func(id string) bool { return taken[id] })
	for _, id := range w.FreshIDs(n) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids[:n]
}

// lookAround finds the strangers that have to do with the claims of the set, as the hands do.
func (s *simulated) lookAround(w *sim.World, snapshot *cloneset.Snapshot) {
	for _, claim := range snapshot.Claims {
		for _, pod := range w.Strangers() {
			if claims.Uses(pod, claim.Name) {
				if snapshot.Borrowers == nil {
					snapshot.Borrowers = map[string][]*corev1.Pod{}
				}
				snapshot.Borrowers[claim.Name] = append(snapshot.Borrowers[claim.Name], pod)
			}
			if id := claim.Labels[kruisev1beta1.CloneSetInstanceIDKey]; pod.Name == s.set.Name+"-"+id {
				if snapshot.Released == nil {
					snapshot.Released = map[string]*pods.Facts{}
				}
				snapshot.Released[id] = pods.Read(pod)
			}
		}
	}
}

// Claim adopts what was the set's and releases what its selector does not match, as the hands do.
func (s *simulated) Claim(w *sim.World) {
	isOurs := func(pod *corev1.Pod) bool { return pod.Labels["app"] == s.set.Spec.Selector.MatchLabels["app"] }
	for _, pod := range w.Pods() {
		if !isOurs(pod) {
			w.Own(pod.Name, nil)
		}
	}
	for _, pod := range w.Strangers() {
		if isOurs(pod) && pod.DeletionTimestamp == nil && cloneset.WasOurs(s.set, pod) {
			w.Own(pod.Name, metav1.NewControllerRef(s.set, kruisev1beta1.GroupVersion.WithKind("CloneSet")))
		}
	}
}

// read keeps Facts by UID and resourceVersion, as the hands do.
func (s *simulated) read(pod *corev1.Pod) *pods.Facts {
	known := s.facts[string(pod.UID)]
	if known == nil || known.Pod.ResourceVersion != pod.ResourceVersion {
		known = pods.Read(pod)
		s.facts[string(pod.UID)] = known
	}
	return known
}

func (s *simulated) Plan(w *sim.World) plan.Decision {
	if s.watch != nil {
		s.watch.begin()
	}
	s.seen = s.snapshot(w)
	s.pass = cloneset.Look(s.seen)
	d := s.pass.Plan()
	if s.mutate != nil {
		s.mutate(s, &d)
	}
	if s.overtaken == "" {
		s.overtaken = s.checkPriority(s.Promise(w), d)
	}
	return d
}

// Report speaks of what the pass observed, not of what it has changed since: that is for the next pass.
func (s *simulated) Report(_ *sim.World, _ plan.Decision, o plan.Outcome) bool {
	s.kept = nil
	if len(o.Failures) > 0 {
		s.kept = s.seen.FreshIDs
	}
	status := s.pass.Status(o)
	if equality.Semantic.DeepEqual(status, s.set.Status) {
		return false
	}
	s.set = s.set.DeepCopy()
	s.set.Status = status
	return true
}

// Promise reads the spec as its documentation says, with arithmetic of its own.
func (s *simulated) Promise(w *sim.World) sim.Promise {
	rolling := s.set.Spec.UpdateStrategy.RollingUpdate
	if rolling == nil {
		rolling = &kruisev1beta1.RollingUpdateCloneSetStrategy{}
	}
	replicas := int(*s.set.Spec.Replicas)
	p := sim.Promise{
		Replicas: replicas, Partition: min(partOf(rolling.Partition, "0", replicas, math.Ceil), replicas), MaxSurge: partOf(rolling.MaxSurge, "0", replicas, math.Ceil),
		MinReadySeconds: s.set.Spec.MinReadySeconds, Lifecycle: s.set.Spec.Lifecycle,
	}
	surge := p.MaxSurge
	if rolling.Paused {
		p.MaxSurge = 0
	}
	round := math.Ceil
	if p.MaxSurge > 0 || s.set.Spec.UpdateStrategy.Type == kruisev1beta1.OnDeleteCloneSetUpdateStrategyType {
		round = math.Floor
	}
	p.MaxUnavailable = partOf(rolling.MaxUnavailable, "20%", replicas, round)
	if p.MaxUnavailable == 0 && surge == 0 {
		p.MaxUnavailable = 1
	}
	isPart := rolling.Partition != nil && rolling.Partition.Type == intstr.String && rolling.Partition.StrVal != "100%"
	if isPart && replicas > 1 && p.Partition == replicas {
		p.Partition = replicas - 1
	}
	p.UpdateRevision, p.CurrentRevision = s.revisions(w)
	p.ReuseVolumes = s.set.Spec.ScaleStrategy.EnablePVCReuse
	p.ExcludePreparingDelete = s.set.Spec.ScaleStrategy.ExcludePreparingDelete || s.policy.ExcludePreparingDelete
	p.MayDiffer = s.isWrittenByOthers
	p.IsNamed = func(pod *corev1.Pod) bool {
		_, isMarked := pod.Labels[kruisev1beta1.SpecifiedDeleteKey]
		return isMarked || slices.Contains(s.set.Spec.ScaleStrategy.PodsToDelete, pod.Name)
	}
	return p
}

// isWrittenByOthers reports whether users and the owners of hooks write a label or annotation of this key to Pods.
func (s *simulated) isWrittenByOthers(key string) bool {
	if l := s.set.Spec.Lifecycle; l != nil {
		for _, hook := range []*pub.LifecycleHook{l.PreDelete, l.InPlaceUpdate, l.PreNormal} {
			if hook != nil && hook.LabelsHandler[key] != "" {
				return true
			}
		}
	}
	return strings.HasPrefix(key, "hold-") || key == "batch" || key == "role"
}

// revisions are the name of the newest revision, and of the one that the status calls current while it is still kept.
func (s *simulated) revisions(w *sim.World) (update, current string) {
	var newest int64
	for _, rev := range w.Revisions() {
		if rev.Revision >= newest {
			newest, update = rev.Revision, rev.Name
		}
	}
	current = update
	for _, rev := range w.Revisions() {
		if rev.Name == s.set.Status.CurrentRevision {
			current = rev.Name
		}
	}
	return update, current
}

func partOf(value *intstr.IntOrString, fallback string, of int, round func(float64) float64) int {
	if value == nil {
		value = numberOrPart(fallback)
	}
	if value.Type == intstr.Int {
		return value.IntValue()
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(value.StrVal, "%"), 64)
	if err != nil {
		panic(err)
	}
	return int(round(percent * float64(of) / 100))
}

// Counts is the status in one line.
func (s *simulated) Counts(*sim.World) string {
	c := s.set.Status
	line := fmt.Sprintf("replicas %d ready %d available %d updated %d expected %d",
		c.Replicas, c.ReadyReplicas, c.AvailableReplicas, c.UpdatedReplicas, c.ExpectedUpdatedReplicas)
	for _, condition := range c.Conditions {
		isTold := condition.Type == kruisev1beta1.CloneSetConditionReady || condition.Type == kruisev1beta1.CloneSetConditionReconciling ||
			condition.Type == kruisev1beta1.CloneSetConditionStalled
		if isTold && condition.Status == corev1.ConditionTrue {
			line += fmt.Sprintf(" | %s %s", condition.Type, condition.Reason)
		}
	}
	return line
}

// seconds is a time that a story waits.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
