// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// object is what validation reads of a CloneSet. The template stays raw, so that fields are checked which this program does not know.
type object struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Replicas             *int32                               `json:"replicas"`
		Selector             *metav1.LabelSelector                `json:"selector"`
		Template             json.RawMessage                      `json:"template"`
		VolumeClaimTemplates []claimTemplate                      `json:"volumeClaimTemplates"`
		UpdateStrategy       kruisev1beta1.CloneSetUpdateStrategy `json:"updateStrategy"`
	} `json:"spec"`
	Status kruisev1beta1.CloneSetStatus `json:"status"`
}

type claimTemplate struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
}

// read takes an object of either version.
func read(ctx context.Context, raw []byte) (*object, error) {
	hub, err := toHub(ctx, raw)
	if err != nil {
		return nil, err
	}
	o := &object{}
	if err := json.Unmarshal(hub, o); err != nil {
		return nil, fmt.Errorf("reading the CloneSet: %w", err)
	}
	return o, nil
}

// validate says what is wrong with a CloneSet as far as that can be said without the cluster. What an update does not touch is not judged again: whoever
// scales or deletes need not answer for the rest. The old object is nil on creation.
func validate(old, updated *object) field.ErrorList {
	var all field.ErrorList
	if old == nil || !equality.Semantic.DeepEqual(old.Spec.Selector, updated.Spec.Selector) || !hasSameTemplate(old, updated) {
		all = append(all, validateSelector(updated)...)
	}
	if old == nil || !equality.Semantic.DeepEqual(old.Spec.VolumeClaimTemplates, updated.Spec.VolumeClaimTemplates) {
		all = append(all, validateClaims(updated)...)
	}
	if old == nil || !equality.Semantic.DeepEqual(old.Spec.UpdateStrategy, updated.Spec.UpdateStrategy) {
		all = append(all, validateWeights(updated)...)
	}
	return all
}

// validateSelector checks that the selector can be read, selects something, and matches the template.
func validateSelector(o *object) field.ErrorList {
	path := field.NewPath("spec", "selector")
	selector, err := metav1.LabelSelectorAsSelector(o.Spec.Selector)
	if err != nil {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "correct the selector, which selects nothing as it is: "+err.Error())}
	}
	if selector.Empty() {
		return field.ErrorList{field.Required(path, "it must select the Pods of this CloneSet and no others")}
	}
	var template struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(o.Spec.Template, &template); err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "template", "metadata", "labels"), field.OmitValueType{}, err.Error())}
	}
	if !selector.Matches(labels.Set(template.Metadata.Labels)) {
		return field.ErrorList{field.Invalid(
			field.NewPath("spec", "template", "metadata", "labels"), template.Metadata.Labels,
			fmt.Sprintf("they must match spec.selector, which is %q", selector))}
	}
	return nil
}

// validateClaims checks that each claim template has a name of its own. What a name may be is checked as that of a volume, with the template.
func validateClaims(o *object) field.ErrorList {
	var all field.ErrorList
	seen := map[string]bool{}
	for i, claim := range o.Spec.VolumeClaimTemplates {
		name := claim.Metadata.Name
		if seen[name] {
			all = append(all, field.Duplicate(field.NewPath("spec", "volumeClaimTemplates").Index(i).Child("metadata", "name"), name))
		}
		seen[name] = true
	}
	return all
}

// validateWeights checks that the selectors of the weights can be read.
func validateWeights(o *object) field.ErrorList {
	rolling := o.Spec.UpdateStrategy.RollingUpdate
	if rolling == nil || rolling.PriorityStrategy == nil {
		return nil
	}
	var all field.ErrorList
	for i := range rolling.PriorityStrategy.WeightPriority {
		if _, err := metav1.LabelSelectorAsSelector(&rolling.PriorityStrategy.WeightPriority[i].MatchSelector); err != nil {
			path := field.NewPath("spec", "updateStrategy", "rollingUpdate", "priorityStrategy", "weightPriority").Index(i).Child("matchSelector")
			all = append(all, field.Invalid(path, field.OmitValueType{}, "correct the selector, or nobody gets this weight: "+err.Error()))
		}
	}
	return all
}

// hasSameTemplate says that two templates are the same JSON, in whatever order.
func hasSameTemplate(a, b *object) bool {
	if bytes.Equal(a.Spec.Template, b.Spec.Template) {
		return true
	}
	var left, right any
	return json.Unmarshal(a.Spec.Template, &left) == nil && json.Unmarshal(b.Spec.Template, &right) == nil && reflect.DeepEqual(left, right)
}

// wantsTemplateCheck says that the cluster has to be asked about the template: what was taken once is not asked about again.
func wantsTemplateCheck(old, updated *object) bool {
	return old == nil || !hasSameTemplate(old, updated) || !equality.Semantic.DeepEqual(old.Spec.VolumeClaimTemplates, updated.Spec.VolumeClaimTemplates)
}
