// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/inplace"
)

// warn tells the user what an update of the template will do to the Pods, where that is not what its policy hopes for.
func warn(old, updated *object) []string {
	rolling := updated.Spec.UpdateStrategy.RollingUpdate
	replicas := ptr.Deref(updated.Spec.Replicas, 1)
	if rolling == nil || updated.Spec.UpdateStrategy.Type == kruisev1beta1.OnDeleteCloneSetUpdateStrategyType || replicas == 0 {
		return nil
	}
	var before, after corev1.PodTemplateSpec
	if json.Unmarshal(old.Spec.Template, &before) != nil || json.Unmarshal(updated.Spec.Template, &after) != nil {
		return nil
	}
	_, verdict := inplace.Diff(&before, &after)
	switch {
	case verdict.OK:
		return nil
	case rolling.PodUpdatePolicy == kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType:
		return []string{fmt.Sprintf("this change recreates up to %d Pods: %s", replicas, verdict.Message)}
	case rolling.PodUpdatePolicy == kruisev1beta1.InPlaceOnlyPodUpdatePolicyType:
		return []string{fmt.Sprintf("this change cannot be carried out under InPlaceOnly: %s", verdict.Message)}
	default:
		return nil
	}
}
