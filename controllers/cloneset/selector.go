// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// selectorOf reads the selector. The schema refuses the same mistakes; they are met here again because what follows from one that slipped
// through is bad: an empty selector adopts every Pod of the namespace, and one that does not match its own template releases each Pod that was
// just created.
func selectorOf(set *kruisev1beta1.CloneSet) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	switch {
	case err != nil:
		return nil, fmt.Errorf("spec.selector: %w", err)
	case selector.Empty():
		return nil, errors.New("spec.selector: it must not be empty, else it selects every Pod")
	case !selector.Matches(labels.Set(set.Spec.Template.Labels)):
		return nil, fmt.Errorf("spec.selector: %s does not match spec.template.metadata.labels", selector)
	default:
		return selector, nil
	}
}
