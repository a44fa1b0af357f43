// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

const (
	// MaxBytes is how long an annotation of ours may be. All that the versions cannot say of a set is some hundred bytes.
	MaxBytes = 16 << 10
	// MaxLeaves is how many fields one may keep; a list is one field.
	MaxLeaves = 256
	// maxAnnotations is how many bytes the API server takes in all annotations of an object, keys included.
	maxAnnotations = validation.TotalAnnotationSizeLimitB
)

// CheckSize says why the text of an annotation of ours is too large to be taken, and nil when it is not. What was stored all the same is still read: as a whole
// where all of it fits, else its first MaxLeaves fields.
func CheckSize(text string) error {
	if len(text) > MaxBytes {
		return fmt.Errorf("it has %d bytes, more than %d", len(text), MaxBytes)
	}
	kept := map[string]any{}
	if err := utiljson.Unmarshal([]byte(text), &kept); err != nil {
		// NOTE: what cannot be read says nothing, and is no work.
		return nil
	}
	if len(leaves(kept, MaxLeaves+1)) > MaxLeaves {
		return fmt.Errorf("it keeps more than %d fields", MaxLeaves)
	}
	return nil
}

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
	text := &strings.Builder{}
	encoder := json.NewEncoder(text)
	// Nobody reads it as HTML, and each < would be six bytes.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(kept); err != nil {
		// NOTE: kept comes from decoded JSON, which can always be encoded.
		return
	}
	v.annotations()[annotation] = strings.TrimSuffix(text.String(), "\n")
}

// checkRoom says whether the annotations can be those of an object. The API server would refuse the whole list or watch, and not say which object it is about.
// NOTE: nothing is left out to make room, as a read in one version that is written back would lose what the other one says. Admission keeps half of the room free; an
// object that was stored before it did so can be read, and mended, in the version in which it is stored.
func (v view) checkRoom() error {
	total := 0
	for key, value := range v.annotations() {
		text, _ := value.(string)
		total += len(key) + len(text)
	}
	if total > maxAnnotations {
		return fmt.Errorf("its annotations would have %d bytes, more than the %d that Kubernetes takes: remove some in the other version", total, maxAnnotations)
	}
	return nil
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

// add puts a patch that changes one field to others, of other fields.
func add(to, leaf map[string]any) {
	for key, value := range leaf {
		deeper, isMap := value.(map[string]any)
		target, hasMap := to[key].(map[string]any)
		if isMap && hasMap {
			add(target, deeper)
			continue
		}
		to[key] = value
	}
}

// maxDepth is how deep leaves looks for fields. Ours are at most five deep; what is deeper is one field with all that is in it.
const maxDepth = 16

// leaves takes a merge patch apart into patches that each change one field, in a fixed order; the first most of them. A list is one field.
func leaves(patch map[string]any, most int) []map[string]any {
	var all []map[string]any
	var walk func(path []string, m map[string]any)
	walk = func(path []string, m map[string]any) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if len(all) == most {
				return
			}
			here := append(path, key)
			deeper, isMap := m[key].(map[string]any)
			if isMap && len(deeper) > 0 && len(here) < maxDepth {
				walk(here, deeper)
				continue
			}
			all = append(all, nested(here, m[key]))
		}
	}
	walk(nil, patch)
	return all
}

// nested is the patch that sets the field at a path.
func nested(path []string, value any) map[string]any {
	patch := map[string]any{path[len(path)-1]: value}
	for _, key := range slices.Backward(path[:len(path)-1]) {
		patch = map[string]any{key: patch}
	}
	return patch
}
