// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// mutantSeeds is in how many random worlds a mutant has to be caught.
const mutantSeeds = 150

// TestRandomWorldsCatchMutants spoils the decisions of the controllers in one way each. The random worlds that find nothing wrong with the real ones must tell, by the
// invariant that the mutant breaks. What takes a particular moment to break is shown by a toy, beside the invariants themselves.
func TestRandomWorldsCatchMutants(t *testing.T) {
	for sentence, tc := range map[string]struct {
		mutate func(s *simulated, d *plan.Decision)
		want   string
	}{
		"takes a Pod out of service that serves": {want: sim.AvailableFloor, mutate: onFree(func(s *simulated, f *pods.Facts) *plan.Action {
			if !f.IsAvailable(s.set.Spec.MinReadySeconds, s.seen.Now) || !f.HasInPlaceGate {
				return nil
			}
			return patchOf(f, "status", map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": pub.InPlaceUpdateReady, "status": "False"}}}})
		})},
		"creates each Pod twice": {want: sim.SurgeCeiling, mutate: onActions(func(a *plan.Action) []plan.Action {
			pod, isPod := a.Object.(*corev1.Pod)
			if a.Verb != plan.Create || !isPod {
				return nil
			}
			twin := *a
			another := pod.DeepCopy()
			another.Name, another.Spec.Volumes = another.Name+"2", nil
			twin.Object, twin.First = another, nil
			return []plan.Action{*a, twin}
		})},
		"deletes a Pod that nobody named": {want: sim.SurplusOnly, mutate: onFree(func(s *simulated, f *pods.Facts) *plan.Action {
			if f.IsAvailable(s.set.Spec.MinReadySeconds, s.seen.Now) || f.IsPreparingDelete() || f.SpecifiedDelete {
				return nil
			}
			return &plan.Action{Verb: plan.Delete, Object: f.Pod}
		})},
		"deletes Pods that their hook holds": {want: sim.HooksRespected, mutate: onFree(func(_ *simulated, f *pods.Facts) *plan.Action {
			if !f.IsPreparingDelete() {
				return nil
			}
			return &plan.Action{Verb: plan.Delete, Object: f.Pod}
		})},
		"gives Pods another image than their revision says": {want: sim.TemplateKept, mutate: onPatches([]byte(`"image":"app:v2"`), []byte(`"image":"app:v3"`))},
		"forgets a label of the template":                   {want: sim.TemplateKept, mutate: onPatches([]byte(`"tier":"two"`), []byte(`"other":"two"`))},
		"gives new Pods another environment than the template says": {want: sim.TemplateKept, mutate: onActions(func(a *plan.Action) []plan.Action {
			pod, isPod := a.Object.(*corev1.Pod)
			if a.Verb != plan.Create || !isPod {
				return nil
			}
			other, changed := *a, pod.DeepCopy()
			changed.Spec.Containers[0].Env = append(changed.Spec.Containers[0].Env, corev1.EnvVar{Name: "ANOTHER", Value: "one"})
			other.Object = changed
			return []plan.Action{other}
		})},
		"drains no Pod": {want: sim.DrainedFirst, mutate: onPatches([]byte(`"StartInPlaceUpdate","status":"False"`), []byte(`"StartInPlaceUpdate","status":"True"`))},
		"creates Pods without their claims": {want: sim.VolumesFirst, mutate: onActions(func(a *plan.Action) []plan.Action {
			a.First = nil
			return []plan.Action{*a}
		})},
		"deletes the claims of Pods that run": {want: sim.VolumesKept, mutate: func(s *simulated, d *plan.Decision) {
			for _, claim := range s.seen.Claims {
				if claim.DeletionTimestamp == nil {
					d.Act(plan.Action{Verb: plan.Delete, Object: claim})
				}
			}
		}},
		"writes what is written already": {want: sim.NoIdleWrite, mutate: onFree(func(_ *simulated, f *pods.Facts) *plan.Action {
			return patchOf(f, "", map[string]any{"metadata": map[string]any{"labels": map[string]any{appsv1.ControllerRevisionHashLabelKey: f.Revision}}})
		})},
		"does everything twice": {want: sim.OneActionPerPod, mutate: onActions(func(a *plan.Action) []plan.Action {
			if a.Verb != plan.Patch {
				return nil
			}
			return []plan.Action{*a, *a}
		})},
		"never asks to be woken": {want: sim.NoLostWake, mutate: func(_ *simulated, d *plan.Decision) { d.Wake = plan.Wake{} }},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var found []string
			for seed := range uint64(mutantSeeds) {
				c := newChaos(seed)
				c.controller.mutate = tc.mutate
				_ = c.run()
				for _, breach := range c.Breaches() {
					found = append(found, breach.Invariant)
				}
				if slices.Contains(found, tc.want) {
					return
				}
			}
			slices.Sort(found)
			assert.Contains(t, slices.Compact(found), tc.want)
		})
	}
}

// onFree adds an action for the first Pod that counts, that the decision leaves alone, and for which there is one.
func onFree(action func(*simulated, *pods.Facts) *plan.Action) func(*simulated, *plan.Decision) {
	return func(s *simulated, d *plan.Decision) {
		for _, f := range s.seen.Pods {
			isTouched := slices.ContainsFunc(d.Actions, func(a plan.Action) bool { return a.Object.GetName() == f.Pod.Name })
			if !f.IsActive() || isTouched {
				continue
			}
			if a := action(s, f); a != nil {
				d.Act(*a)
				return
			}
		}
	}
}

// onActions replaces actions; those for which it gives nothing stay.
func onActions(replace func(*plan.Action) []plan.Action) func(*simulated, *plan.Decision) {
	return func(_ *simulated, d *plan.Decision) {
		var all []plan.Action
		for _, a := range d.Actions {
			before := a
			if instead := replace(&a); instead != nil {
				all = append(all, instead...)
			} else {
				all = append(all, before)
			}
		}
		d.Actions = all
	}
}

// onPatches replaces a part of every patch.
func onPatches(from, to []byte) func(*simulated, *plan.Decision) {
	return onActions(func(a *plan.Action) []plan.Action {
		changes := slices.Clone(a.Changes)
		for i := range changes {
			changes[i].Patch = bytes.ReplaceAll(changes[i].Patch, from, to)
		}
		a.Changes = changes
		return []plan.Action{*a}
	})
}

func patchOf(f *pods.Facts, subresource string, body map[string]any) *plan.Action {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return &plan.Action{Verb: plan.Patch, Object: f.Pod, Changes: []plan.Change{{Subresource: subresource, Patch: raw}}}
}
