// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// question is a PodTemplate that the cluster is asked about.
type question struct {
	body map[string]any
	// claims maps the index of a volume to that of the claim template that it stands for.
	claims map[int]int
}

// ask makes the question: the template with a volume for each claim template, as its Pods will have. A volume of the same name gives way, as it does in a Pod.
func ask(o *object, namespace string) (question, error) {
	q := question{claims: map[int]int{}}
	var template map[string]any
	if err := utiljson.Unmarshal(o.Spec.Template, &template); err != nil {
		return q, fmt.Errorf("reading spec.template: %w", err)
	}
	if spec, isMap := template["spec"].(map[string]any); isMap && len(o.Spec.VolumeClaimTemplates) > 0 {
		volumes, _ := spec["volumes"].([]any)
		index := indexByName(volumes)
		for i, claim := range o.Spec.VolumeClaimTemplates {
			at, isThere := index[claim.Name]
			if !isThere {
				at = len(volumes)
				index[claim.Name] = at
				volumes = append(volumes, nil)
			}
			volumes[at] = map[string]any{"name": claim.Name, "persistentVolumeClaim": map[string]any{"claimName": "checked"}}
			q.claims[at] = i
		}
		spec["volumes"] = volumes
	}
	// Admission policies of others go by labels, and what they ask of the set they may ask of its template.
	metadata := map[string]any{"generateName": "checked-", "namespace": namespace}
	if len(o.Metadata.Labels) > 0 {
		metadata["labels"] = o.Metadata.Labels
	}
	q.body = map[string]any{
		"apiVersion": "v1", "kind": "PodTemplate",
		"metadata": metadata,
		"template": template,
	}
	return q, nil
}

// indexByName says where the first volume of each name is.
func indexByName(volumes []any) map[string]int {
	index := map[string]int{}
	for i, v := range slices.Backward(volumes) {
		if volume, isMap := v.(map[string]any); isMap {
			if name, isText := volume["name"].(string); isText {
				index[name] = i
			}
		}
	}
	return index
}

// translate turns the cluster's refusal of the question into causes about the CloneSet. An answer that is not about the template gives none and is no reason
// to refuse: a quota, an outage, or an admission policy of somebody who has rules for PodTemplates, and whose denials may have any reason, Invalid too.
func (q question) translate(answer error) []metav1.StatusCause {
	var refusal apierrors.APIStatus
	if !errors.As(answer, &refusal) {
		return nil
	}
	status := refusal.Status()
	switch {
	case strings.HasPrefix(status.Message, byWebhook):
		return nil
	case apierrors.IsBadRequest(answer):
		return decoding(status.Message)
	case !apierrors.IsInvalid(answer) || status.Details == nil:
		return nil
	}
	var all []metav1.StatusCause
	for _, cause := range status.Details.Causes {
		if cause.Field == "template" || strings.HasPrefix(cause.Field, "template.") {
			cause.Field = q.rename(cause.Field)
			all = append(all, cause)
		}
	}
	return all
}

// byWebhook is how the API server begins what it passes on from an admission webhook. The fields that follow are those of somebody else.
const byWebhook = "admission webhook "

var (
	// badField is what the API server says of a field that does not exist or comes twice.
	badField = regexp.MustCompile(`(unknown|duplicate) field "([^"]+)"`)
	// badType is what it says of a value of another type, such as: cannot unmarshal string into Go struct field Container.template.spec.containers.ports of type ...
	badType = regexp.MustCompile(`cannot unmarshal (\S+) into Go struct field \w+\.(template\S*)`)
	// badObject is how it begins to say that it cannot decode what it got.
	badObject = regexp.MustCompile(`(?s)^PodTemplate in version "v1" cannot be handled as a PodTemplate: (.*)`)
	// volumeField is the path of a volume of the template.
	volumeField = regexp.MustCompile(`^template\.spec\.volumes\[(\d+)\]`)
)

// decoding names the fields in a message of an object that could not be decoded. Any other message has none.
func decoding(message string) []metav1.StatusCause {
	undecoded := badObject.FindStringSubmatch(message)
	if undecoded == nil {
		return nil
	}
	var all []metav1.StatusCause
	for _, found := range badField.FindAllStringSubmatch(message, -1) {
		all = append(all, metav1.StatusCause{
			Type: metav1.CauseTypeFieldValueInvalid, Field: "spec." + found[2],
			Message: fmt.Sprintf("Invalid value: %s field: correct its name or remove it", found[1]),
		})
	}
	if found := badType.FindStringSubmatch(message); found != nil {
		all = append(all, metav1.StatusCause{
			Type: metav1.CauseTypeFieldValueInvalid, Field: "spec." + found[2],
			Message: fmt.Sprintf("Invalid value: it must not be of the type %s", found[1]),
		})
	}
	if len(all) == 0 {
		all = []metav1.StatusCause{{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.template", Message: "Invalid value: " + undecoded[1]}}
	}
	return all
}

// rename turns the path of a field of the question into that of the CloneSet.
func (q question) rename(path string) string {
	if found := volumeField.FindStringSubmatch(path); found != nil {
		index, err := strconv.Atoi(found[1])
		if claim, isClaim := q.claims[index]; err == nil && isClaim {
			return fmt.Sprintf("spec.volumeClaimTemplates[%d].metadata.name", claim)
		}
	}
	return "spec." + path
}
