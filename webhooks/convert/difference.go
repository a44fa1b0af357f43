// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// take removes an annotation of ours and returns what it says. One that cannot be read says nothing.
func (v view) take(annotation string) map[string]any {
	text, ok := v.annotations()[annotation].(string)
	delete(v.annotations(), annotation)
	if !ok {
		return nil
	}
	kept := map[string]any{}
	if err := utiljson.Unmarshal([]byte(text), &kept); err != nil {
		return nil
	}
	// Only these three have a place in a view, and only as objects.
	for field, value := range kept {
		_, isObject := value.(map[string]any)
		if _, isKnown := v[field]; !isKnown || !isObject {
			delete(kept, field)
		}
	}
	return kept
}

// keep sets an annotation of ours to a difference, if there is one.
func (v view) keep(annotation string, kept map[string]any) {
	if len(kept) == 0 {
		return
	}
	text, err := json.Marshal(kept)
	if err != nil {
		// NOTE: kept comes from decoded JSON, which can always be encoded.
		return
	}
	v.annotations()[annotation] = string(text)
}

// difference is the merge patch (RFC 7386) that leads from one object to another.
func difference(from, to map[string]any) map[string]any {
	patch := map[string]any{}
	for key := range from {
		if _, ok := to[key]; !ok {
			patch[key] = nil
		}
	}
	for key, want := range to {
		have, ok := from[key]
		haveMap, haveIsMap := have.(map[string]any)
		wantMap, wantIsMap := want.(map[string]any)
		switch {
		case haveIsMap && wantIsMap:
			if deeper := difference(haveMap, wantMap); len(deeper) > 0 {
				patch[key] = deeper
			}
		case !ok || !reflect.DeepEqual(have, want):
			patch[key] = want
		}
	}
	return patch
}

// merge applies a merge patch in place.
func merge(to, patch map[string]any) {
	for key, value := range patch {
		change, isMap := value.(map[string]any)
		target, hasMap := to[key].(map[string]any)
		switch {
		case value == nil:
			delete(to, key)
		case isMap:
			if !hasMap {
				target = map[string]any{}
				to[key] = target
			}
			merge(target, change)
		default:
			to[key] = value
		}
	}
}

// leaves takes a merge patch apart into patches that each change one field, in a fixed order.
func leaves(patch map[string]any) []map[string]any {
	var all []map[string]any
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		deeper, ok := patch[key].(map[string]any)
		if !ok || len(deeper) == 0 {
			all = append(all, map[string]any{key: patch[key]})
			continue
		}
		for _, leaf := range leaves(deeper) {
			all = append(all, map[string]any{key: leaf})
		}
	}
	return all
}
