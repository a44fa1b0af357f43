// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/webhooks/convert"
)

// validateKept refuses annotations of conversion that are too large: in the version that they were written in, as conversion takes them away. What an update does
// not touch is not judged. The old object is empty on creation.
func validateKept(old, updated []byte) field.ErrorList {
	before, now := annotationsOf(old), annotationsOf(updated)
	var all field.ErrorList
	for _, key := range []string{convert.HubFieldsAnnotation, convert.SpokeFieldsAnnotation} {
		if now[key] == before[key] {
			continue
		}
		if err := convert.CheckSize(now[key]); err != nil {
			path := field.NewPath("metadata", "annotations").Key(key)
			all = append(all, field.Invalid(path, field.OmitValueType{}, fmt.Sprintf("remove it, as it is for conversion between versions to write: %v", err)))
		}
	}
	return all
}

// annotationsOf reads the annotations of an object; none where it cannot be read, which is told by whoever reads all of it.
func annotationsOf(raw []byte) map[string]string {
	var o struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o.Metadata.Annotations
}

// toHub takes an object to v1beta1, which is all that validation knows.
func toHub(ctx context.Context, raw []byte) ([]byte, error) {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("reading the CloneSet: %w", err)
	}
	if kind.APIVersion != kruisev1alpha1.GroupVersion.String() {
		return raw, nil
	}
	obj := map[string]any{}
	if err := utiljson.Unmarshal(raw, &obj); err != nil {
		return nil, fmt.Errorf("reading the CloneSet: %w", err)
	}
	if err := convert.CloneSet(ctx, obj, kruisev1beta1.GroupVersion.String()); err != nil {
		return nil, err
	}
	return json.Marshal(obj)
}
