// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utiljson "k8s.io/apimachinery/pkg/util/json"
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

// claimTemplate stays raw, so that one that is no claim can be told by its index. Its name is empty where it cannot be read.
type claimTemplate struct {
	Name string
	Raw  json.RawMessage
}

// UnmarshalJSON takes any JSON.
func (c *claimTemplate) UnmarshalJSON(raw []byte) error {
	var named struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if json.Unmarshal(raw, &named) == nil {
		c.Name = named.Metadata.Name
	}
	return c.Raw.UnmarshalJSON(raw)
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
	if old == nil || !hasSameClaims(old, updated) {
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

// maxClaims is what the schema lets there be. It is said here too, because what comes here need not have passed the schema, and the rest of the work grows with it.
const maxClaims = 256

// validateClaims checks that each claim template is one, with a name of its own. What a name may be is checked as that of a volume, with the template. A field that
// Kubernetes does not know here may be one of a newer Kubernetes.
func validateClaims(o *object) field.ErrorList {
	var all field.ErrorList
	path := field.NewPath("spec", "volumeClaimTemplates")
	if n := len(o.Spec.VolumeClaimTemplates); n > maxClaims {
		return field.ErrorList{field.TooMany(path, n, maxClaims)}
	}
	seen := map[string]bool{}
	for i, claim := range o.Spec.VolumeClaimTemplates {
		if err := utiljson.Unmarshal(claim.Raw, &corev1.PersistentVolumeClaim{}); err != nil {
			all = append(all, field.Invalid(path.Index(i), field.OmitValueType{}, "it must be a PersistentVolumeClaim: "+err.Error()))
			continue
		}
		if seen[claim.Name] {
			all = append(all, field.Duplicate(path.Index(i).Child("metadata", "name"), claim.Name))
		}
		seen[claim.Name] = true
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
	return isSameJSON(a.Spec.Template, b.Spec.Template)
}

// hasSameClaims says the same of the claim templates.
func hasSameClaims(a, b *object) bool {
	return slices.EqualFunc(a.Spec.VolumeClaimTemplates, b.Spec.VolumeClaimTemplates, func(a, b claimTemplate) bool { return isSameJSON(a.Raw, b.Raw) })
}

func isSameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var left, right any
	return json.Unmarshal(a, &left) == nil && json.Unmarshal(b, &right) == nil && reflect.DeepEqual(left, right)
}

// wantsTemplateCheck says that the cluster has to be asked about the template: what was taken once is not asked about again. Of claim templates it is told the names.
func wantsTemplateCheck(old, updated *object) bool {
	return old == nil || !hasSameTemplate(old, updated) ||
		!slices.EqualFunc(old.Spec.VolumeClaimTemplates, updated.Spec.VolumeClaimTemplates, func(a, b claimTemplate) bool { return a.Name == b.Name })
}
