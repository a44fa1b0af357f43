// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order

import (
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/keelson/keelson/controllers/plan/pods"
)

// Spread knows how crowded the places are in which the Pods of a workload run. The zero value knows of no place.
type Spread struct {
	by []crowd
}

// crowd counts Pods by one kind of place, such as nodes or zones.
type crowd struct {
	// key is the topology key; selector says which Pods count, and apart are the label keys by whose values Pods are counted apart.
	key      string
	selector labels.Selector
	apart    []string
	weight   float64
	count    map[string]int
}

// SpreadOf counts Pods by their places. Without constraints a place is a node. With them each constraint has its own places, and those of a
// constraint that knows more of them weigh more: ln(places + 2) for each Pod, as in the scheduler.
//
//	six Pods, a constraint by zone and one by host
//	  zone a: four Pods, three of them on host a1, one on a2; zone b: two Pods, one on b1, one on b2
//	  a Pod of a zone weighs ln(2 + 2) = 1.39, a Pod of a host ln(4 + 2) = 1.79
//	  rank of a Pod on a1: 4 * 1.39 + 3 * 1.79 = 10.92: it is deleted first
//	               on a2: 4 * 1.39 + 1 * 1.79 =  7.34
//	               on b1: 2 * 1.39 + 1 * 1.79 =  4.56
//
// NOTE: Nodes are not read. The host is the node that the Pod names, and any other place is the Pod's own label of that key: Kubernetes copies the
// zone and the region of the node there when it binds the Pod, from 1.35 on. A constraint whose places are known of no Pod is left out, and if
// none is left, the node decides.
func SpreadOf(all []*pods.Facts, constraints []corev1.TopologySpreadConstraint) Spread {
	var s Spread
	for i := range constraints {
		selector, err := metav1.LabelSelectorAsSelector(constraints[i].LabelSelector)
		if err != nil {
			continue
		}
		c := crowd{key: constraints[i].TopologyKey, selector: selector, apart: constraints[i].MatchLabelKeys}
		if places := c.fill(all); places > 0 {
			c.weight = math.Log(float64(places + 2))
			s.by = append(s.by, c)
		}
	}
	if len(s.by) == 0 {
		c := crowd{key: corev1.LabelHostname, selector: labels.Everything(), weight: 1}
		c.fill(all)
		s.by = append(s.by, c)
	}
	return s
}

// Rank is how many of the counted Pods share the places of a Pod, by weight; zero when nothing is known of them. Only the comparison of two ranks means
// anything.
func (s Spread) Rank(f *pods.Facts) float64 {
	rank := 0.0
	for i := range s.by {
		if group, _, counts := s.by[i].group(f); counts {
			rank += s.by[i].weight * float64(s.by[i].count[group])
		}
	}
	return rank
}

// fill counts the Pods, and says in how many places they are.
func (c *crowd) fill(all []*pods.Facts) (places int) {
	c.count = map[string]int{}
	seen := map[string]bool{}
	for _, f := range all {
		if group, place, counts := c.group(f); counts {
			c.count[group]++
			seen[place] = true
		}
	}
	return len(seen)
}

// group is the name under which a Pod is counted, and its place in it. A Pod whose place is not known, or that the constraint does not select, does
// not count.
func (c *crowd) group(f *pods.Facts) (group, place string, counts bool) {
	if place = c.place(f.Pod); place == "" || !c.selector.Matches(labels.Set(f.Pod.Labels)) {
		return "", "", false
	}
	if len(c.apart) == 0 {
		return place, place, true
	}
	parts := make([]string, 0, len(c.apart)+1)
	for _, key := range c.apart {
		parts = append(parts, f.Pod.Labels[key])
	}
	return strings.Join(append(parts, place), "\x00"), place, true
}

func (c *crowd) place(pod *corev1.Pod) string {
	if c.key == corev1.LabelHostname {
		return pod.Spec.NodeName
	}
	return pod.Labels[c.key]
}
