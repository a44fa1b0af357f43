// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
)

var now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// serving is a Pod that has run and been ready for an hour on a node of its own.
func serving(name string, changes ...func(*corev1.Pod)) *pods.Facts {
	hourAgo := metav1.NewTime(now.Add(-time.Hour))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: hourAgo, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{NodeName: "node-of-" + name},
		Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: hourAgo}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main"}},
		},
	}
	for _, change := range changes {
		change(pod)
	}
	return pods.Read(pod)
}

func names(all []*pods.Facts) []string {
	var out []string
	for _, f := range all {
		out = append(out, f.Pod.Name)
	}
	return out
}

func cost(value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[corev1.PodDeletionCost] = value }
}

func readyFor(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-d)) }
}

func tier(value string) func(*corev1.Pod) { return labelled("tier", value) }

func labelled(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[key] = value }
}

func notReady(p *corev1.Pod)   { p.Status.Conditions[0].Status = corev1.ConditionFalse }
func pending(p *corev1.Pod)    { p.Status.Phase = corev1.PodPending; notReady(p) }
func unassigned(p *corev1.Pod) { p.Spec.NodeName = ""; pending(p) }
func unknown(p *corev1.Pod)    { p.Status.Phase = corev1.PodUnknown; notReady(p) }
func restarted(p *corev1.Pod)  { p.Status.ContainerStatuses[0].RestartCount = 3 }
func young(p *corev1.Pod)      { p.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute)) }
func onOneNode(p *corev1.Pod)  { p.Spec.NodeName = "crowded" }
func waitsToBeTakenIn(p *corev1.Pod) {
	p.Labels["lifecycle.apps.kruise.io/state"] = "Updated"
}
func wantsUpdate(p *corev1.Pod) { p.Labels["lifecycle.apps.kruise.io/state"] = "PreparingUpdate" }

func TestForDelete(t *testing.T) {
	for name, tc := range map[string]struct {
		pods []*pods.Facts
		want []string
	}{
		"what serves less goes first": {
			pods: []*pods.Facts{
				serving("serves"), serving("not-ready", notReady), serving("not-available", readyFor(time.Second)), serving("unknown", unknown),
				serving("pending", pending), serving("unassigned", unassigned),
			},
			want: []string{"unassigned", "pending", "unknown", "not-ready", "not-available", "serves"},
		},
		"a ready Pod that waits to be taken in is not available": {
			pods: []*pods.Facts{serving("new", readyFor(10*time.Minute)), serving("waits", waitsToBeTakenIn), serving("broken", notReady)},
			want: []string{"broken", "waits", "new"},
		},
		"a low cost goes before a high one": {
			pods: []*pods.Facts{serving("dear", cost("10")), serving("free"), serving("cheap", cost("-10"))},
			want: []string{"cheap", "free", "dear"},
		},
		"a cost that is not a plain number is none": {
			pods: []*pods.Facts{serving("a", cost("+5")), serving("b", cost("1")), serving("c", cost("much"))},
			want: []string{"a", "c", "b"},
		},
		"a crowded node goes before an empty one": {
			pods: []*pods.Facts{serving("alone"), serving("one", onOneNode), serving("two", onOneNode)},
			want: []string{"one", "alone", "two"},
		},
		"the one that became ready last goes first": {
			pods: []*pods.Facts{serving("old"), serving("new", readyFor(10*time.Minute))},
			want: []string{"new", "old"},
		},
		"more restarts go first": {
			pods: []*pods.Facts{serving("calm"), serving("restless", restarted)},
			want: []string{"restless", "calm"},
		},
		"the younger goes first": {
			pods: []*pods.Facts{serving("old"), serving("young", young)},
			want: []string{"young", "old"},
		},
		"and ties go by name": {
			pods: []*pods.Facts{serving("b"), serving("a")},
			want: []string{"a", "b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			order.ForDelete(tc.pods, order.SpreadOf(tc.pods, nil), order.Clock{MinReadySeconds: 60, Now: now})
			assert.Equal(t, tc.want, names(tc.pods))
		})
	}
}

func TestForUpdate(t *testing.T) {
	for name, tc := range map[string]struct {
		candidates []*pods.Facts
		strategy   order.Strategy
		want       []string
	}{
		"what serves less goes first": {
			candidates: []*pods.Facts{
				serving("serves"), serving("not-available", readyFor(time.Second)), serving("broken", notReady), serving("unassigned", unassigned),
				serving("pending", pending),
			},
			want: []string{"unassigned", "pending", "broken", "not-available", "serves"},
		},
		"neither the cost nor a crowded node matters": {
			candidates: []*pods.Facts{serving("a", cost("10")), serving("b", onOneNode), serving("c", onOneNode), serving("d", cost("-10"))},
			want:       []string{"a", "b", "c", "d"},
		},
		"a ready Pod that waits to be taken in has no precedence": {
			candidates: []*pods.Facts{serving("waits", waitsToBeTakenIn), serving("new", readyFor(10*time.Minute)), serving("broken", notReady)},
			want:       []string{"broken", "new", "waits"},
		},
		"the user's priorities go before health": {
			candidates: []*pods.Facts{serving("broken", notReady), serving("serves"), serving("canary", tier("front")), serving("broken-canary", tier("front"), notReady)},
			strategy:   order.Strategy{Priority: weights(weight(5, "tier", "front"))},
			want:       []string{"broken-canary", "canary", "broken", "serves"},
		},
		"scattering comes after priorities": {
			candidates: []*pods.Facts{
				serving("a"), serving("b"), serving("c"), serving("d"),
				serving("w", tier("front")), serving("x", tier("front")), serving("y", tier("front")),
			},
			strategy: order.Strategy{
				Priority: weights(weight(5, "tier", "front")), Scatter: pub.UpdateScatterStrategy{{Key: "tier", Value: "front"}},
			},
			want: []string{"w", "a", "b", "x", "c", "d", "y"},
		},
		"those that wait in PreparingUpdate go before all others": {
			candidates: []*pods.Facts{
				serving("broken", notReady), serving("canary", tier("front")), serving("hooked", wantsUpdate), serving("hooked-too", wantsUpdate, notReady),
			},
			strategy: order.Strategy{Priority: weights(weight(5, "tier", "front"))},
			want:     []string{"hooked-too", "hooked", "canary", "broken"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := slices.Clone(tc.candidates)
			got := order.ForUpdate(tc.candidates, all, tc.strategy)
			assert.Equal(t, tc.want, names(got))
		})
	}
}
