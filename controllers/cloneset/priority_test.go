// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"regexp"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// INVARIANT: no Pod that serves is updated before one of a higher priority. Scattering mixes the two on purpose, and InPlaceOnly passes over Pods that
// cannot be updated: then nothing is checked.
func (s *simulated) checkPriority(promise sim.Promise, d plan.Decision) string {
	rolling := s.set.Spec.UpdateStrategy.RollingUpdate
	if rolling == nil {
		return ""
	}
	if rolling.PriorityStrategy == nil || len(rolling.ScatterStrategy) > 0 || rolling.PodUpdatePolicy == kruisev1beta1.InPlaceOnlyPodUpdatePolicyType {
		return ""
	}
	touched, begun := map[string]bool{}, map[string]bool{}
	for _, a := range d.Actions {
		touched[a.Object.GetName()] = true
		begun[a.Object.GetName()] = a.Phase == plan.PhaseUpdate
	}
	isAt := func(pod *corev1.Pod) sim.Tally { return promise.Tally([]*corev1.Pod{pod}, s.seen.Now) }
	for _, first := range s.seen.Pods {
		if !begun[first.Pod.Name] || isAt(first.Pod).Available == 0 {
			continue
		}
		for _, other := range s.seen.Pods {
			isWaiting := other.IsActive() && !touched[other.Pod.Name] && !promise.IsNamed(other.Pod) && !other.IsPreparingDelete() &&
				other.State != pub.LifecycleStatePreparingUpdate && other.Grace == ""
			if isWaiting && isAt(first.Pod).Updated == isAt(other.Pod).Updated && hasPriority(rolling.PriorityStrategy, other.Pod, first.Pod) {
				return fmt.Sprintf("%s, which serves, is updated before %s, which has priority", first.Pod.Name, other.Pod.Name)
			}
		}
	}
	return ""
}

// hasPriority says that a Pod goes before another.
func hasPriority(s *pub.UpdatePriorityStrategy, a, b *corev1.Pod) bool {
	if len(s.WeightPriority) > 0 {
		return weightOf(s, a) > weightOf(s, b)
	}
	levelA, numberA := placeOf(s, a)
	levelB, numberB := placeOf(s, b)
	return levelA < levelB || levelA == levelB && numberA > numberB
}

func weightOf(s *pub.UpdatePriorityStrategy, pod *corev1.Pod) (sum int32) {
	for _, term := range s.WeightPriority {
		selector, err := metav1.LabelSelectorAsSelector(&term.MatchSelector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			sum += term.Weight
		}
	}
	return sum
}

func placeOf(s *pub.UpdatePriorityStrategy, pod *corev1.Pod) (level, number int) {
	for level, term := range s.OrderPriority {
		if value, found := pod.Labels[term.OrderedKey]; found {
			number, _ = strconv.Atoi(regexp.MustCompile(`[0-9]*$`).FindString(value))
			return level, number
		}
	}
	return -1, 0
}
