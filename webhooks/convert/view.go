// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"maps"
)

// view is the part of an object in which versions differ: metadata.labels, metadata.annotations, and spec without templates.
// Absent maps are present and empty, as long as it is a view.
type view map[string]any

func viewOf(obj map[string]any) (view, error) {
	metadata, err := object(obj, "metadata")
	if err != nil {
		return nil, err
	}
	v := view{}
	for _, field := range []string{"labels", "annotations"} {
		m, err := object(metadata, field)
		if err != nil {
			return nil, fmt.Errorf("reading metadata: %w", err)
		}
		v[field] = cloneMaps(m)
	}
	spec, err := object(obj, "spec")
	if err != nil {
		return nil, err
	}
	small := maps.Clone(spec)
	for _, field := range opaqueFields() {
		delete(small, field)
	}
	v["spec"] = cloneMaps(small)
	dropNulls(v)
	return v, nil
}

// cloneMaps copies the maps of a tree. Lists are shared: no translation reaches into one, and two that are the same are equal at a glance.
func cloneMaps(m map[string]any) map[string]any {
	c := make(map[string]any, len(m))
	for key, value := range m {
		if deeper, ok := value.(map[string]any); ok {
			value = cloneMaps(deeper)
		}
		c[key] = value
	}
	return c
}

// opaqueFields are the fields of spec that are the same in every version, and too large to copy.
func opaqueFields() []string {
	return []string{"template", "volumeClaimTemplates"}
}

func (v view) labels() map[string]any      { return v["labels"].(map[string]any) }
func (v view) annotations() map[string]any { return v["annotations"].(map[string]any) }
func (v view) spec() map[string]any        { return v["spec"].(map[string]any) }

func (v view) clone() view {
	return cloneMaps(v)
}

// part is a view of the named entries of each field, and of what a patch would change.
func (v view) part(named map[string][]string, patch map[string]any) view {
	small := view{}
	for field := range v {
		from := v[field].(map[string]any)
		change, _ := patch[field].(map[string]any)
		to := touched(from, change)
		for _, key := range named[field] {
			if value, ok := from[key]; ok {
				to[key] = value
			}
		}
		small[field] = to
	}
	return small.clone()
}

// touched is the part of a tree that a merge patch reaches.
func touched(from, patch map[string]any) map[string]any {
	to := map[string]any{}
	for key, change := range patch {
		value, ok := from[key]
		if !ok {
			continue
		}
		deeper, isMap := value.(map[string]any)
		deeperChange, isDeeper := change.(map[string]any)
		if isMap && isDeeper {
			value = touched(deeper, deeperChange)
		}
		to[key] = value
	}
	return to
}

// writeTo puts the view into the object that it was made of, and leaves out maps that are empty and were absent. Only metadata is always there: the API server
// takes no object without it, and asks, for server-side apply, about parts of objects that have none.
func (v view) writeTo(obj map[string]any) {
	metadata, _ := obj["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		obj["metadata"] = metadata
	}
	for _, field := range []string{"labels", "annotations"} {
		m := v[field].(map[string]any)
		if len(m) > 0 {
			metadata[field] = m
			continue
		}
		delete(metadata, field)
	}
	spec, _ := obj["spec"].(map[string]any)
	if spec == nil && len(v.spec()) == 0 {
		return
	}
	for _, field := range opaqueFields() {
		if value, ok := spec[field]; ok {
			v.spec()[field] = value
		}
	}
	obj["spec"] = v.spec()
}

// object returns a field that is an object; absent and null are an empty one.
func object(parent map[string]any, field string) (map[string]any, error) {
	value, ok := parent[field]
	if !ok || value == nil {
		return map[string]any{}, nil
	}
	m, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("reading %s: it must be an object, not %T", field, value)
	}
	return m, nil
}

// dropNulls removes what is null, which in our schemas is the same as absent.
func dropNulls(m map[string]any) {
	for key, value := range m {
		if value == nil {
			delete(m, key)
			continue
		}
		if deeper, ok := value.(map[string]any); ok {
			dropNulls(deeper)
		}
	}
}

// text returns a field that is a string, and whether it is there.
func text(parent map[string]any, field string) (string, bool, error) {
	value, ok := parent[field]
	if !ok {
		return "", false, nil
	}
	s, ok := value.(string)
	if !ok {
		return "", false, fmt.Errorf("reading %s: it must be a string, not %T", field, value)
	}
	return s, true, nil
}

// isTrue returns a field that is a boolean; absent is false.
func isTrue(parent map[string]any, field string) (bool, error) {
	value, ok := parent[field]
	if !ok {
		return false, nil
	}
	b, ok := value.(bool)
	if !ok {
		return false, fmt.Errorf("reading %s: it must be a boolean, not %T", field, value)
	}
	return b, nil
}
