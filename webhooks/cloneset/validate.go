// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// object is what validation reads of a CloneSet. The template stays raw, so that fields are checked which this program does not know.
type object struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Selector             *metav1.LabelSelector `json:"selector"`
		Template             json.RawMessage       `json:"template"`
		VolumeClaimTemplates []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"volumeClaimTemplates"`
	} `json:"spec"`
}

// validateSelector checks that the selector can be read, selects something, and matches the template.
func validateSelector(o *object) field.ErrorList {
	path := field.NewPath("spec", "selector")
	selector, err := metav1.LabelSelectorAsSelector(o.Spec.Selector)
	if err != nil {
		return field.ErrorList{field.Invalid(path, o.Spec.Selector, err.Error())}
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
		return field.ErrorList{field.Invalid(field.NewPath("spec", "template"), "", err.Error())}
	}
	if !selector.Matches(labels.Set(template.Metadata.Labels)) {
		return field.ErrorList{field.Invalid(
			field.NewPath("spec", "template", "metadata", "labels"), template.Metadata.Labels,
			fmt.Sprintf("they must match spec.selector, which is %q", selector))}
	}
	return nil
}

// podTemplate is the PodTemplate that the cluster is asked about: the template with a volume for each claim template, as its Pods will have.
func podTemplate(o *object) (map[string]any, error) {
	var template map[string]any
	if err := json.Unmarshal(o.Spec.Template, &template); err != nil {
		return nil, fmt.Errorf("reading spec.template: %w", err)
	}
	if spec, isMap := template["spec"].(map[string]any); isMap && len(o.Spec.VolumeClaimTemplates) > 0 {
		volumes, _ := spec["volumes"].([]any)
		for _, claim := range o.Spec.VolumeClaimTemplates {
			volumes = append(volumes, map[string]any{
				"name": claim.Metadata.Name, "persistentVolumeClaim": map[string]any{"claimName": "checked"},
			})
		}
		spec["volumes"] = volumes
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "PodTemplate",
		"metadata": map[string]any{"generateName": "checked-", "namespace": o.Metadata.Namespace},
		"template": template,
	}, nil
}

// translate turns the cluster's answer about the PodTemplate into errors about the CloneSet. An answer that is not about the template, such as a
// quota or an outage, is no reason to refuse.
func translate(answer error) field.ErrorList {
	if answer == nil || !apierrors.IsInvalid(answer) && !apierrors.IsBadRequest(answer) {
		return nil
	}
	root := field.NewPath("spec")
	var status apierrors.APIStatus
	if !errors.As(answer, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		message := strings.ReplaceAll(answer.Error(), `"template.`, `"spec.template.`)
		return field.ErrorList{field.Invalid(root.Child("template"), field.OmitValueType{}, message)}
	}
	var all field.ErrorList
	for _, cause := range status.Status().Details.Causes {
		all = append(all, field.Invalid(root.Child(cause.Field), field.OmitValueType{}, cause.Message))
	}
	return all
}
