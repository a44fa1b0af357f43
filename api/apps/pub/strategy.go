// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pub

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// UpdatePriorityStrategy orders the Pods of an update by weight or by the order of label keys; at most one of the two is set.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.orderPriority) && size(self.orderPriority) > 0 && has(self.weightPriority) && size(self.weightPriority) > 0)",message="priorityStrategy must have orderPriority or weightPriority, not both: remove one of them"
type UpdatePriorityStrategy struct {
	// OrderPriority lists label keys; Pods are ordered by the first key they carry and the number at the end of its value.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	OrderPriority []UpdatePriorityOrderTerm `json:"orderPriority,omitempty"`
	// WeightPriority lists selectors with weights; the sum of the matching weights decides, larger first.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	WeightPriority []UpdatePriorityWeightTerm `json:"weightPriority,omitempty"`
}

// UpdatePriorityOrderTerm is one label key of an order.
type UpdatePriorityOrderTerm struct {
	// OrderedKey is the label key.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	OrderedKey string `json:"orderedKey"`
}

// UpdatePriorityWeightTerm gives the Pods that match a selector a weight.
type UpdatePriorityWeightTerm struct {
	// Weight is 0 to 100.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
	// MatchSelector selects Pods by their labels.
	// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",message="matchSelector must not be empty, else it gives every Pod the same weight: add matchLabels or matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator == 'In' || e.operator == 'NotIn') == (has(e.values) && size(e.values) > 0))",message="matchSelector.matchExpressions must have values with In and NotIn, and none with Exists and DoesNotExist: correct the selector, or nobody gets this weight"
	MatchSelector metav1.LabelSelector `json:"matchSelector"`
}

// UpdateScatterStrategy lists the labels whose Pods are spread over the whole update.
//
// +kubebuilder:validation:MaxItems=256
// +listType=map
// +listMapKey=key
// +listMapKey=value
type UpdateScatterStrategy []UpdateScatterTerm

// UpdateScatterTerm is one label whose Pods are spread.
type UpdateScatterTerm struct {
	// Key is the label key.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key"`
	// Value is the label value.
	// +kubebuilder:validation:MaxLength=63
	Value string `json:"value"`
}
