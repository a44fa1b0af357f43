// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// at is a Pod of the application web on a node in a zone.
func at(node, zone string, changes ...func(*corev1.Pod)) *pods.Facts {
	return serving(node+"/"+zone, append([]func(*corev1.Pod){
		func(p *corev1.Pod) { p.Spec.NodeName = node }, labelled(corev1.LabelTopologyZone, zone), labelled("app", "web"),
	}, changes...)...)
}

func evenly(key string, changes ...func(*corev1.TopologySpreadConstraint)) corev1.TopologySpreadConstraint {
	c := corev1.TopologySpreadConstraint{
		MaxSkew: 1, TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
	}
	for _, change := range changes {
		change(&c)
	}
	return c
}

func TestRank(t *testing.T) {
	six := []*pods.Facts{at("a1", "a"), at("a1", "a"), at("a1", "a"), at("a2", "a"), at("b1", "b"), at("b2", "b")}
	nowhere := func(p *corev1.Pod) { p.Spec.NodeName = "" }
	unlabelled := func(p *corev1.Pod) { delete(p.Labels, corev1.LabelTopologyZone) }
	anyApp := func(c *corev1.TopologySpreadConstraint) { c.LabelSelector = nil }
	apart := func(c *corev1.TopologySpreadConstraint) { c.MatchLabelKeys = []string{"revision"} }
	for name, tc := range map[string]struct {
		pods        []*pods.Facts
		constraints []corev1.TopologySpreadConstraint
		want        []float64
	}{
		"without constraints the Pods of a node count": {pods: six, want: []float64{3, 3, 3, 1, 1, 1}},
		"Pods without a node do not crowd each other": {
			pods: []*pods.Facts{at("", "a", nowhere), at("", "a", nowhere), at("b1", "b")}, want: []float64{0, 0, 1},
		},
		"each constraint counts by its weight: the worked example": {
			pods:        six,
			constraints: []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone), evenly(corev1.LabelHostname)},
			want:        []float64{10.920, 10.920, 10.920, 7.337, 4.564, 4.564},
		},
		"a place that only some Pods tell of counts for those": {
			pods:        []*pods.Facts{at("a1", "a"), at("a1", "a", unlabelled), at("a1", "a", unlabelled), at("b1", "b")},
			constraints: []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone)},
			want:        []float64{1.386, 0, 0, 1.386},
		},
		"a place that no Pod tells of leaves it to the other constraints": {
			pods:        six,
			constraints: []corev1.TopologySpreadConstraint{evenly("example.com/rack"), evenly(corev1.LabelTopologyZone)},
			want:        []float64{5.545, 5.545, 5.545, 5.545, 2.773, 2.773},
		},
		"and to the node where there is no other": {
			pods:        six,
			constraints: []corev1.TopologySpreadConstraint{evenly("example.com/rack")},
			want:        []float64{3, 3, 3, 1, 1, 1},
		},
		"a constraint without a selector counts nobody, as in the scheduler": {
			pods:        six,
			constraints: []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone, anyApp)},
			want:        []float64{3, 3, 3, 1, 1, 1},
		},
		"a constraint counts only what it selects": {
			pods:        []*pods.Facts{at("a1", "a", labelled("app", "other")), at("a1", "a"), at("b1", "b")},
			constraints: []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone)},
			want:        []float64{0, 1.386, 1.386},
		},
		"matchLabelKeys count revisions apart, in the same places": {
			pods: []*pods.Facts{
				at("a1", "a", labelled("revision", "1")), at("a1", "a", labelled("revision", "2")), at("a2", "a", labelled("revision", "2")), at("b1", "b"),
			},
			constraints: []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone, apart)},
			want:        []float64{1.386, 2.773, 2.773, 1.386},
		},
	} {
		t.Run(name, func(t *testing.T) {
			spread := order.SpreadOf(tc.pods, tc.constraints)
			var got []float64
			for _, f := range tc.pods {
				got = append(got, spread.Rank(f))
			}
			assert.InDeltaSlice(t, tc.want, got, 0.001)
		})
	}
}

func TestACrowdedZoneGoesFirst(t *testing.T) {
	all := []*pods.Facts{at("b1", "b"), at("a1", "a"), at("a2", "a"), at("b2", "b", cost("-1"))}
	order.ForDelete(all, order.SpreadOf(all, []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone)}), order.Clock{Now: now})
	assert.Equal(t, []string{"b2/b", "a1/a", "a2/a", "b1/b"}, names(all), "the cost goes before the place, and ties go by name")

	all = append(all, at("a3", "a"))
	order.ForDelete(all, order.SpreadOf(all, []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone)}), order.Clock{Now: now})
	assert.Equal(t, []string{"b2/b", "a1/a", "a2/a", "a3/a", "b1/b"}, names(all))
}
