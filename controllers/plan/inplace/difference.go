// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// firstDifference is the path of the first field in which two Pod specs differ, such as .containers[0].command. It is for people: the
// specs are compared as the JSON that a user writes.
func firstDifference(a, b *corev1.PodSpec) string {
	return differ("", decoded(a), decoded(b))
}

func decoded(spec *corev1.PodSpec) (out any) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil
	}
	return out
}

func differ(path string, a, b any) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	switch left := a.(type) {
	case map[string]any:
		if right, ok := b.(map[string]any); ok {
			return differInMap(path, left, right)
		}
	case []any:
		if right, ok := b.([]any); ok && len(left) == len(right) {
			return differInList(path, left, right)
		}
	}
	return path
}

func differInMap(path string, a, b map[string]any) string {
	both := maps.Clone(a)
	maps.Copy(both, b)
	for _, key := range slices.Sorted(maps.Keys(both)) {
		if found := differ(path+"."+key, a[key], b[key]); found != "" {
			return found
		}
	}
	return path
}

func differInList(path string, a, b []any) string {
	for i := range a {
		if found := differ(fmt.Sprintf("%s[%d]", path, i), a[i], b[i]); found != "" {
			return found
		}
	}
	return path
}
