// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package order_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/order"
	"github.com/keelson/keelson/controllers/plan/pods"
)

func weights(terms ...pub.UpdatePriorityWeightTerm) *pub.UpdatePriorityStrategy {
	return &pub.UpdatePriorityStrategy{WeightPriority: terms}
}

func weight(n int32, key, value string) pub.UpdatePriorityWeightTerm {
	return pub.UpdatePriorityWeightTerm{Weight: n, MatchSelector: metav1.LabelSelector{MatchLabels: map[string]string{key: value}}}
}

func weightOf(n int32, e metav1.LabelSelectorRequirement) pub.UpdatePriorityWeightTerm {
	return pub.UpdatePriorityWeightTerm{Weight: n, MatchSelector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{e}}}
}

func keys(all ...string) *pub.UpdatePriorityStrategy {
	s := &pub.UpdatePriorityStrategy{}
	for _, key := range all {
		s.OrderPriority = append(s.OrderPriority, pub.UpdatePriorityOrderTerm{OrderedKey: key})
	}
	return s
}

func TestPrioritize(t *testing.T) {
	three := func() []*pods.Facts {
		return []*pods.Facts{serving("c", tier("back")), serving("a", tier("front")), serving("b", tier("front"), labelled("zone", "b"))}
	}
	batches := func(values ...string) []*pods.Facts {
		var all []*pods.Facts
		for _, value := range values {
			all = append(all, serving("batch="+value, labelled("batch", value)))
		}
		return all
	}
	for name, tc := range map[string]struct {
		pods     []*pods.Facts
		strategy *pub.UpdatePriorityStrategy
		want     []string
	}{
		"nothing said keeps the order":    {pods: three(), want: []string{"c", "a", "b"}},
		"no terms keep the order":         {pods: three(), strategy: &pub.UpdatePriorityStrategy{}, want: []string{"c", "a", "b"}},
		"a larger weight goes first":      {pods: three(), strategy: weights(weight(1, "tier", "back"), weight(9, "tier", "front")), want: []string{"a", "b", "c"}},
		"the weights of all terms add up": {pods: three(), strategy: weights(weight(5, "tier", "front"), weight(1, "zone", "b")), want: []string{"b", "a", "c"}},
		"a weight of zero is no weight":   {pods: three(), strategy: weights(weight(0, "tier", "front")), want: []string{"c", "a", "b"}},
		"a selector may be an expression": {
			pods:     three(),
			strategy: weights(weightOf(3, metav1.LabelSelectorRequirement{Key: "zone", Operator: metav1.LabelSelectorOpExists})),
			want:     []string{"b", "c", "a"},
		},
		"a selector that cannot be read has no effect, the others do": {
			pods: three(),
			strategy: weights(
				weightOf(100, metav1.LabelSelectorRequirement{Key: "tier", Operator: "Like", Values: []string{"b"}}), weight(5, "zone", "b")),
			want: []string{"b", "c", "a"},
		},
		"a larger number at the end of the value goes first": {
			pods: batches("a-2", "b-10", "x1", "10"), strategy: keys("batch"),
			want: []string{"batch=b-10", "batch=10", "batch=a-2", "batch=x1"},
		},
		"no number is zero, and zeros in front do not count": {
			pods: batches("none", "007", "0", "", "8"), strategy: keys("batch"),
			want: []string{"batch=8", "batch=007", "batch=none", "batch=0", "batch="},
		},
		"a number may be longer than any integer": {
			pods: batches("99999999999999999999", "100000000000000000000", "3"), strategy: keys("batch"),
			want: []string{"batch=100000000000000000000", "batch=99999999999999999999", "batch=3"},
		},
		"the first key that a Pod carries counts, and Pods with none go first": {
			pods: []*pods.Facts{
				serving("second", labelled("tier", "9")), serving("both", labelled("tier", "9"), labelled("batch", "1")),
				serving("none"), serving("first", labelled("batch", "2")), serving("none-either"),
			},
			strategy: keys("batch", "tier"),
			want:     []string{"none", "none-either", "first", "both", "second"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			order.Prioritize(tc.pods, tc.strategy)
			assert.Equal(t, tc.want, names(tc.pods))
		})
	}
}
