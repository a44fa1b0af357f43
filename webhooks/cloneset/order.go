// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// warnOfOrder tells of labels in the order of an update that no Pod can carry, so that they order nothing.
// COMPAT: they are no reason to refuse.
func warnOfOrder(old, updated *object) []string {
	if old != nil && equality.Semantic.DeepEqual(old.Spec.UpdateStrategy, updated.Spec.UpdateStrategy) {
		return nil
	}
	rolling := updated.rolling()
	path := field.NewPath("spec", "updateStrategy", "rollingUpdate")
	var all []string
	check := func(at *field.Path, what, text string, problems []string) {
		if len(problems) > 0 {
			all = append(all, fmt.Sprintf("%s: no Pod can have the label %s %q, so this orders nothing: %s", at, what, text, problems[0]))
		}
	}
	if s := rolling.PriorityStrategy; s != nil {
		for i, term := range s.OrderPriority {
			at := path.Child("priorityStrategy", "orderPriority").Index(i).Child("orderedKey")
			check(at, "key", term.OrderedKey, validation.IsQualifiedName(term.OrderedKey))
		}
	}
	for i, term := range rolling.ScatterStrategy {
		at := path.Child("scatterStrategy").Index(i)
		check(at.Child("key"), "key", term.Key, validation.IsQualifiedName(term.Key))
		check(at.Child("value"), "value", term.Value, validation.IsValidLabelValue(term.Value))
	}
	return all
}
