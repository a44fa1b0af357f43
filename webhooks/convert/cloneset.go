// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"reflect"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// The two versions of a CloneSet, field by field:
//
//	v1alpha1                                             v1beta1
//	label cloneset-scaling-exclude-preparing-delete      scaleStrategy.excludePreparingDelete
//	scaleStrategy.disablePVCReuse                        scaleStrategy.enablePVCReuse, the opposite
//	updateStrategy.type OnDelete                         updateStrategy.type OnDelete
//	updateStrategy.type, any other                       updateStrategy.type RollingUpdate, rollingUpdate.podUpdatePolicy
//	updateStrategy.*                                     updateStrategy.rollingUpdate.*
//	updateStrategy.type OnDelete, the rest defaulted     updateStrategy.type OnDelete, no rollingUpdate
//	annotations image-predownload-*                      updateStrategy.rollingUpdate.inPlaceUpdateStrategy.imagePreDownload*
const (
	onDelete      = string(kruisev1beta1.OnDeleteCloneSetUpdateStrategyType)
	rollingUpdate = string(kruisev1beta1.RollingUpdateCloneSetUpdateStrategyType)
	excludeLabel  = kruisev1alpha1.CloneSetScalingExcludePreparingDeleteKey
)

// defaults are the settings that the schemas write out for a rolling update, in the words of v1beta1. An OnDelete set has none of them in v1beta1, and all of
// them in v1alpha1, where they stand beside the type.
func defaults() map[string]any {
	return map[string]any{
		"partition": int64(0), "maxUnavailable": kruisev1beta1.DefaultCloneSetMaxUnavailable, "maxSurge": int64(0),
		"podUpdatePolicy": string(kruisev1beta1.RecreatePodUpdatePolicyType),
	}
}

// cloneSetReads names what the translations look at: the rows above.
func cloneSetReads() map[string][]string {
	reads := map[string][]string{"labels": {excludeLabel}, "spec": {"scaleStrategy", "updateStrategy"}}
	for _, p := range preDownloads() {
		reads["annotations"] = append(reads["annotations"], p.annotation)
	}
	return reads
}

// hubChoices are the fields of v1beta1 that name their values.
func hubChoices() []choice {
	return []choice{
		{path: []string{"spec", "updateStrategy", "type"}, values: []string{rollingUpdate, onDelete, ""}},
		{path: []string{"spec", "updateStrategy", "rollingUpdate", "podUpdatePolicy"}, values: policies()},
	}
}

// spokeChoices are those of v1alpha1.
func spokeChoices() []choice {
	return []choice{{path: []string{"spec", "updateStrategy", "type"}, values: append(policies(), onDelete)}}
}

func policies() []string {
	return []string{
		string(kruisev1beta1.RecreatePodUpdatePolicyType), string(kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType),
		string(kruisev1beta1.InPlaceOnlyPodUpdatePolicyType), "",
	}
}

// cloneSetToHub translates a CloneSet from v1alpha1 to v1beta1.
func cloneSetToHub(v view) error {
	scale, err := object(v.spec(), "scaleStrategy")
	if err != nil {
		return err
	}
	disabled, err := isTrue(scale, "disablePVCReuse")
	if err != nil {
		return fmt.Errorf("reading spec.scaleStrategy: %w", err)
	}
	delete(scale, "disablePVCReuse")
	delete(scale, "excludePreparingDelete")
	scale["enablePVCReuse"] = !disabled
	if v.labels()[excludeLabel] == "true" {
		delete(v.labels(), excludeLabel)
		scale["excludePreparingDelete"] = true
	}
	v.spec()["scaleStrategy"] = scale

	if err := updateStrategyToHub(v.spec()); err != nil {
		return fmt.Errorf("reading spec.updateStrategy: %w", err)
	}
	if err := preDownloadToHub(v); err != nil {
		return fmt.Errorf("reading spec.updateStrategy: %w", err)
	}
	if strategy, _ := v.spec()["updateStrategy"].(map[string]any); strategy["type"] == onDelete && reflect.DeepEqual(strategy["rollingUpdate"], any(defaults())) {
		delete(strategy, "rollingUpdate")
	}
	return nil
}

func updateStrategyToHub(spec map[string]any) error {
	if _, ok := spec["updateStrategy"]; !ok {
		return nil
	}
	rolling, err := object(spec, "updateStrategy")
	if err != nil {
		return err
	}
	kind, isSet, err := text(rolling, "type")
	if err != nil {
		return err
	}
	for _, field := range []string{"type", "rollingUpdate", "podUpdatePolicy"} {
		delete(rolling, field)
	}
	strategy := map[string]any{"type": rollingUpdate}
	switch {
	case kind == onDelete:
		strategy["type"] = onDelete
		rolling["podUpdatePolicy"] = defaults()["podUpdatePolicy"]
	case isSet:
		rolling["podUpdatePolicy"] = kind
	}
	if len(rolling) > 0 {
		strategy["rollingUpdate"] = rolling
	}
	spec["updateStrategy"] = strategy
	return nil
}

// cloneSetToSpoke translates a CloneSet from v1beta1 to v1alpha1.
func cloneSetToSpoke(v view) error {
	scale, err := object(v.spec(), "scaleStrategy")
	if err != nil {
		return err
	}
	enabled, err := isTrue(scale, "enablePVCReuse")
	if err != nil {
		return fmt.Errorf("reading spec.scaleStrategy: %w", err)
	}
	excluded, err := isTrue(scale, "excludePreparingDelete")
	if err != nil {
		return fmt.Errorf("reading spec.scaleStrategy: %w", err)
	}
	delete(scale, "enablePVCReuse")
	delete(scale, "excludePreparingDelete")
	scale["disablePVCReuse"] = !enabled
	v.spec()["scaleStrategy"] = scale
	// The label means nothing in v1beta1, so one that stands there must not begin to mean something.
	if excluded {
		v.labels()[excludeLabel] = "true"
	} else if v.labels()[excludeLabel] == "true" {
		delete(v.labels(), excludeLabel)
	}

	if strategy, _ := v.spec()["updateStrategy"].(map[string]any); strategy["type"] == onDelete && strategy["rollingUpdate"] == nil {
		strategy["rollingUpdate"] = defaults()
	}
	if err := preDownloadToSpoke(v); err != nil {
		return fmt.Errorf("reading spec.updateStrategy: %w", err)
	}
	if err := updateStrategyToSpoke(v.spec()); err != nil {
		return fmt.Errorf("reading spec.updateStrategy: %w", err)
	}
	return nil
}

func updateStrategyToSpoke(spec map[string]any) error {
	if _, ok := spec["updateStrategy"]; !ok {
		return nil
	}
	strategy, err := object(spec, "updateStrategy")
	if err != nil {
		return err
	}
	flat, err := object(strategy, "rollingUpdate")
	if err != nil {
		return err
	}
	kind, _, err := text(strategy, "type")
	if err != nil {
		return err
	}
	policy, isSet, err := text(flat, "podUpdatePolicy")
	if err != nil {
		return fmt.Errorf("reading rollingUpdate: %w", err)
	}
	for _, field := range []string{"type", "rollingUpdate", "podUpdatePolicy"} {
		delete(flat, field)
	}
	switch {
	case kind == onDelete:
		flat["type"] = onDelete
	case isSet && policy != onDelete:
		flat["type"] = policy
	}
	spec["updateStrategy"] = flat
	return nil
}
