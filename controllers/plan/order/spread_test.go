// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

func named(name string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Name = name } }

func TestCrowdedPlacesGoFirst(t *testing.T) {
	zone, host, rack := evenly(corev1.LabelTopologyZone), evenly(corev1.LabelHostname), evenly("example.com/rack")
	six := func() []*pods.Facts {
		return []*pods.Facts{
			at("b2", "b", named("b2")), at("b1", "b", named("b1")), at("a2", "a", named("a2")),
			at("a1", "a", named("a1-1")), at("a1", "a", named("a1-2")), at("a1", "a", named("a1-3")),
		}
	}
	nowhere := func(p *corev1.Pod) { p.Spec.NodeName = "" }
	unlabelled := func(p *corev1.Pod) { delete(p.Labels, corev1.LabelTopologyZone) }
	anyApp := func(c *corev1.TopologySpreadConstraint) { c.LabelSelector = nil }
	apart := func(c *corev1.TopologySpreadConstraint) { c.MatchLabelKeys = []string{"revision"} }
	byNode := []string{"a1-1", "a1-2", "a1-3", "a2", "b1", "b2"}
	for name, tc := range map[string]struct {
		pods        []*pods.Facts
		constraints []corev1.TopologySpreadConstraint
		want        []string
	}{
		"without constraints the Pods of a node count": {pods: six(), want: byNode},
		"each constraint counts by its weight, and less for each Pod that goes before: the worked example": {
			pods: six(), constraints: []corev1.TopologySpreadConstraint{zone, host}, want: []string{"a1-1", "a1-2", "a1-3", "b1", "a2", "b2"},
		},
		"a zone is thinned out until others are as crowded, on its crowded nodes first": {
			pods: six(), constraints: []corev1.TopologySpreadConstraint{zone}, want: []string{"a1-1", "a1-2", "a1-3", "b1", "a2", "b2"},
		},
		"Pods without a node, which go first, do not crowd each other": {
			pods: []*pods.Facts{at("b1", "b", named("y")), at("", "a", nowhere, named("x")), at("b1", "b", named("z"))}, want: []string{"x", "y", "z"},
		},
		"a place that only some Pods tell of counts for those": {
			pods:        []*pods.Facts{at("a1", "a", named("z")), at("a1", "a", unlabelled, named("x")), at("a1", "a", unlabelled, named("y"))},
			constraints: []corev1.TopologySpreadConstraint{zone}, want: []string{"z", "x", "y"},
		},
		"a place that no Pod tells of leaves it to the other constraints": {
			pods: six(), constraints: []corev1.TopologySpreadConstraint{rack, zone}, want: []string{"a1-1", "a1-2", "a1-3", "b1", "a2", "b2"},
		},
		"and to the node where there is no other": {pods: six(), constraints: []corev1.TopologySpreadConstraint{rack}, want: byNode},
		"a constraint without a selector counts nobody, as in the scheduler": {
			pods: six(), constraints: []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone, anyApp)}, want: byNode,
		},
		"a constraint counts only what it selects": {
			pods:        []*pods.Facts{at("a1", "a", labelled("app", "other"), named("x")), at("a1", "a", named("y")), at("b1", "b", named("z"))},
			constraints: []corev1.TopologySpreadConstraint{zone}, want: []string{"y", "z", "x"},
		},
		"matchLabelKeys count revisions apart, in the same places": {
			pods: []*pods.Facts{
				at("a1", "a", labelled("revision", "1"), named("w")), at("a1", "a", labelled("revision", "2"), named("y")),
				at("a2", "a", labelled("revision", "2"), named("z")), at("b1", "b", named("x")),
			},
			constraints: []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone, apart)}, want: []string{"y", "w", "x", "z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			order.ForDelete(tc.pods, order.SpreadOf(tc.pods, tc.constraints), order.Clock{Now: now})
			assert.Equal(t, tc.want, names(tc.pods))
		})
	}
}

func TestCostGoesBeforePlace(t *testing.T) {
	all := []*pods.Facts{at("b1", "b"), at("a1", "a"), at("a2", "a"), at("a3", "a"), at("b2", "b", cost("-1"))}
	order.ForDelete(all, order.SpreadOf(all, []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone)}), order.Clock{Now: now})
	assert.Equal(t, []string{"b2/b", "a1/a", "a2/a", "a3/a", "b1/b"}, names(all))
}

func TestZonesGetEven(t *testing.T) {
	for name, tc := range map[string]struct {
		// before are the Pods of the zones, and left those of the same zones when some were deleted; others stay whatever happens, such as those of another revision.
		before, left []int
		others       []int
		delete       int
	}{
		"the largest of three come down to the next": {before: []int{10, 8, 5}, delete: 6, left: []int{6, 6, 5}},
		"two of the largest go first":                {before: []int{10, 8, 5}, delete: 2, left: []int{8, 8, 5}},
		"no zone is emptied":                         {before: []int{4, 2}, delete: 4, left: []int{1, 1}},
		"Pods that are not asked about crowd a zone": {before: []int{3, 3}, others: []int{4, 0}, delete: 3, left: []int{0, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked, all []*pods.Facts
			for zone, number := range tc.before {
				for i := range number {
					asked = append(asked, at(fmt.Sprint("node-", i), fmt.Sprint(zone), named(fmt.Sprintf("%d-%02d", zone, i))))
				}
			}
			all = append(all, asked...)
			for zone, number := range tc.others {
				for i := range number {
					all = append(all, at("other", fmt.Sprint(zone), named(fmt.Sprintf("other-%d-%d", zone, i))))
				}
			}
			order.ForDelete(asked, order.SpreadOf(all, []corev1.TopologySpreadConstraint{evenly(corev1.LabelTopologyZone)}), order.Clock{Now: now})
			left := make([]int, len(tc.before))
			for _, f := range asked[tc.delete:] {
				zone, err := strconv.Atoi(f.Pod.Labels[corev1.LabelTopologyZone])
				require.NoError(t, err)
				left[zone]++
			}
			assert.Equal(t, tc.left, left)
		})
	}
}
