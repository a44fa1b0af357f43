// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pub

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// UpdatePriorityStrategy orders the Pods of an update by weight or by the order of label keys; at most one of the two is set.
type UpdatePriorityStrategy struct {
	// OrderPriority lists label keys; Pods are ordered by the first key they carry and the number at the end of its value.
	// +optional
	OrderPriority []UpdatePriorityOrderTerm `json:"orderPriority,omitempty"`
	// WeightPriority lists selectors with weights; the sum of the matching weights decides, larger first.
	// +optional
	WeightPriority []UpdatePriorityWeightTerm `json:"weightPriority,omitempty"`
}

// UpdatePriorityOrderTerm is one label key of an order.
type UpdatePriorityOrderTerm struct {
	// OrderedKey is the label key.
	OrderedKey string `json:"orderedKey"`
}

// UpdatePriorityWeightTerm gives the Pods that match a selector a weight.
type UpdatePriorityWeightTerm struct {
	// Weight is 0 to 100.
	Weight int32 `json:"weight"`
	// MatchSelector selects Pods by their labels.
	MatchSelector metav1.LabelSelector `json:"matchSelector"`
}

// UpdateScatterStrategy lists the labels whose Pods are spread over the whole update.
type UpdateScatterStrategy []UpdateScatterTerm

// UpdateScatterTerm is one label whose Pods are spread.
type UpdateScatterTerm struct {
	// Key is the label key.
	Key string `json:"key"`
	// Value is the label value.
	Value string `json:"value"`
}
