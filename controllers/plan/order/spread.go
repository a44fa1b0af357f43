// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order

import (
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/keelson/keelson/controllers/plan/pods"
)

// Spread knows how crowded the places are in which the Pods of a workload run. The zero value knows of no Pod.
type Spread struct {
	// by are the constraints whose places are known; nodes count where there are none, and among the Pods of a larger place.
	by    []crowd
	nodes crowd
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
// NOTE: Nodes are not read. The host is the node that the Pod names, and any other place is the Pod's own label of that key: Kubernetes copies the
// zone and the region of the node there when it binds the Pod, from 1.35 on. A constraint whose places are known of no Pod is left out, and if
// none is left, the node decides.
func SpreadOf(all []*pods.Facts, constraints []corev1.TopologySpreadConstraint) Spread {
	s := Spread{nodes: crowd{key: corev1.LabelHostname, selector: labels.Everything(), weight: 1}}
	s.nodes.fill(all)
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
	return s
}

// rank says of each Pod of a line how crowded its places will be when its turn comes: as they are for the first one of a place, and less by one for each that goes
// before it. So zones of ten, eight and five Pods with six Pods too many come to six, six and five, and not to four, eight and five.
//
//	six Pods, a constraint by zone and one by host
//	  zone a: four Pods, three of them on host a1, one on a2; zone b: two Pods, one on b1, one on b2
//	  a Pod of a zone weighs ln(2 + 2) = 1.39, a Pod of a host ln(4 + 2) = 1.79
//	  the first on a1:  4 * 1.39 + 3 * 1.79 = 10.92: it is deleted first
//	  the second on a1: 3 * 1.39 + 2 * 1.79 =  7.74
//	  the third on a1:  2 * 1.39 + 1 * 1.79 =  4.56, and so the first of zone b
//	  the one on a2:    1 * 1.39 + 1 * 1.79 =  3.18: within its zone the crowded node went before it
//
// COMPAT: within a place Pods go in the order of the line, those of crowded nodes first.
func (s Spread) rank(line []place) {
	byNode := s.nodes.turns(line)
	if len(s.by) == 0 {
		for i := range line {
			line[i].crowd = byNode[i]
		}
		return
	}
	ranks := make([]float64, len(line))
	for i := range s.by {
		c := &s.by[i]
		for j := range line {
			line[j].crowd = 0
			if c.key != corev1.LabelHostname {
				line[j].crowd = byNode[j]
			}
		}
		for j, turn := range c.turns(line) {
			ranks[j] += c.weight * turn
		}
	}
	for i := range line {
		line[i].crowd = ranks[i]
	}
}

// turns says of each Pod of a line how many of those that were counted will be in its place when its turn comes; zero where nothing is known of its place.
func (c *crowd) turns(line []place) []float64 {
	sorted := make([]int, len(line))
	for i := range sorted {
		sorted[i] = i
	}
	slices.SortFunc(sorted, func(a, b int) int { return line[a].compare(&line[b]) })
	turns, gone := make([]float64, len(line)), map[string]int{}
	for _, i := range sorted {
		if group, _, counts := c.group(line[i].Facts); counts {
			turns[i] = float64(c.count[group] - gone[group])
			gone[group]++
		}
	}
	return turns
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
