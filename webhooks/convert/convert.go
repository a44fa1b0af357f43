// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"context"
	"fmt"
	"slices"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

const (
	// HubFieldsAnnotation is the annotation on a v1alpha1 object that keeps what only v1beta1 can say.
	HubFieldsAnnotation = "apps.kruise.io/v1beta1-fields"
	// SpokeFieldsAnnotation is the annotation on a v1beta1 object that keeps what only v1alpha1 can say.
	SpokeFieldsAnnotation = "apps.kruise.io/v1alpha1-fields"
)

// CloneSet takes a CloneSet, in place, to a version such as "apps.kruise.io/v1beta1". It fails on a version that it does not know, on a field whose type is not that
// of the schema, on annotations without room for what is to be kept, and when ctx ends; the object is then as it was. Its work is proportional to the object.
func CloneSet(ctx context.Context, obj map[string]any, toVersion string) error {
	alpha, beta := kruisev1alpha1.GroupVersion.String(), kruisev1beta1.GroupVersion.String()
	from, _ := obj["apiVersion"].(string)
	if from != alpha && from != beta {
		return fmt.Errorf("converting CloneSet: unknown apiVersion %q", from)
	}
	if toVersion != alpha && toVersion != beta {
		return fmt.Errorf("converting CloneSet: unknown desired apiVersion %q", toVersion)
	}
	if from == toVersion {
		return nil
	}
	way := direction{
		translate: cloneSetToSpoke, back: cloneSetToHub, reads: cloneSetReads(), choices: spokeChoices(),
		keptHere: SpokeFieldsAnnotation, keptThere: HubFieldsAnnotation,
	}
	if from == alpha {
		way = direction{
			translate: cloneSetToHub, back: cloneSetToSpoke, reads: cloneSetReads(), choices: hubChoices(),
			keptHere: HubFieldsAnnotation, keptThere: SpokeFieldsAnnotation,
		}
	}
	if err := way.convert(ctx, obj); err != nil {
		return fmt.Errorf("converting CloneSet: %w", err)
	}
	obj["apiVersion"] = toVersion
	return nil
}

// direction is one way between two versions.
type direction struct {
	translate, back     func(view) error
	keptHere, keptThere string
	// reads names, by the field of a view, what the translations look at; everything else they copy.
	reads map[string][]string
	// choices are the fields whose schema, in the version that it leads to, names all values.
	choices []choice
}

// choice is a field at a path in a view, and the values that it may have.
type choice struct {
	path, values []string
}

func (d direction) convert(ctx context.Context, obj map[string]any) error {
	here, err := viewOf(obj)
	if err != nil {
		return err
	}
	kept := here.take(d.keptHere)

	there := here.clone()
	if err := d.forth(there); err != nil {
		return err
	}
	if err := d.restore(ctx, there, kept); err != nil {
		return err
	}
	again := there.clone()
	if err := d.reverse(again); err != nil {
		return err
	}
	there.keep(d.keptThere, difference(again, here))
	if err := there.checkRoom(); err != nil {
		return err
	}
	there.writeTo(obj)
	return nil
}

// forth translates a view, and leaves out an annotation of ours that had no meaning here and would get one there.
func (d direction) forth(v view) error {
	delete(v.annotations(), d.keptThere)
	return d.translate(v)
}

// reverse is forth of the other direction.
func (d direction) reverse(v view) error {
	delete(v.annotations(), d.keptHere)
	return d.back(v)
}

// restore applies what was kept, as far as the view then still means the same in the version that it comes from. As a rule all of it does; where an edit came
// between, each of the first MaxLeaves fields is looked at alone.
func (d direction) restore(ctx context.Context, there view, kept map[string]any) error {
	if len(kept) == 0 {
		return nil
	}
	want := there.clone()
	if err := d.reverse(want); err != nil {
		return err
	}
	if d.fits(there, kept, want) {
		merge(there, kept)
		return nil
	}
	fitting, err := d.fitting(ctx, there, kept)
	if err != nil {
		return err
	}
	if d.fits(there, fitting, want) {
		merge(there, fitting)
	}
	return nil
}

// fitting is that part of a patch which means nothing in the version that a view comes from. It is looked for in a small view, of what the translations read
// and the patch changes, so that the work does not grow with the object for every field.
func (d direction) fitting(ctx context.Context, there view, kept map[string]any) (map[string]any, error) {
	small := there.part(d.reads, kept)
	want := small.clone()
	fitting := map[string]any{}
	if err := d.reverse(want); err != nil {
		return fitting, nil
	}
	for _, leaf := range leaves(kept, MaxLeaves) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if d.fits(small, leaf, want) {
			merge(small, leaf)
			add(fitting, leaf)
		}
	}
	return fitting, nil
}

func (d direction) fits(there view, kept map[string]any, want view) bool {
	trial := there.clone()
	merge(trial, kept)
	if !d.keepsToChoices(there, trial) {
		return false
	}
	if err := d.reverse(trial); err != nil {
		return false
	}
	return len(difference(trial, want)) == 0
}

// keepsToChoices says that no field of a choice has become another value than its schema names. The API server checks no schema of the version that it stores when
// somebody writes the other one, so that a value which an annotation brings along would be stored, and then refused to whoever writes the set as they read it.
func (d direction) keepsToChoices(before, after view) bool {
	for _, c := range d.choices {
		value, isThere := c.of(after)
		text, isText := value.(string)
		if was, _ := c.of(before); isThere && value != was && (!isText || !slices.Contains(c.values, text)) {
			return false
		}
	}
	return true
}

// of is the value of the field, and whether it is there. What is no value but an object is none of the choices.
func (c choice) of(v view) (value any, isThere bool) {
	value = map[string]any(v)
	for _, key := range c.path {
		parent, isMap := value.(map[string]any)
		if !isMap {
			return nil, false
		}
		if value, isThere = parent[key]; !isThere {
			return nil, false
		}
	}
	if _, isText := value.(string); !isText {
		return nil, true
	}
	return value, true
}
