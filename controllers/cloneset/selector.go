// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/revision"
)

// wasOurs reports whether an orphan was made by this set, or by one of the same name that was deleted and orphaned its children. Labels alone do not say so: whoever
// copies a Pod to look into it copies its labels, and an adopted copy is one Pod too many.
// COMPAT: the published suite adopts no Pod that does not refer to the set.
func wasOurs(set *kruisev1beta1.CloneSet, orphan plan.Object) bool {
	for _, owner := range orphan.GetOwnerReferences() {
		if owner.UID == set.UID {
			return true
		}
	}
	switch orphan.(type) {
	case *corev1.Pod:
		id := orphan.GetLabels()[kruisev1beta1.CloneSetInstanceIDKey]
		return id != "" && orphan.GetName() == set.Name+"-"+id
	case *appsv1.ControllerRevision:
		return orphan.GetName() == revision.Name(set.Name, revision.ShortHash(orphan.GetName()))
	default:
		return false
	}
}

// selectorOf reads the selector, of a spec that could be read as a whole. The schema refuses the same mistakes; they are met here again because what follows from one that slipped
// through is bad: an empty selector adopts every Pod of the namespace, and one that does not match its own template releases each Pod that was
// just created.
func selectorOf(set *kruisev1beta1.CloneSet) (labels.Selector, error) {
	if set.Spec.Undecoded != "" {
		return nil, fmt.Errorf("spec: it cannot be decoded: %s", set.Spec.Undecoded)
	}
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

// releaseAgain is when a Pod that could not be let go is tried again, where nothing happens before.
const releaseAgain = time.Minute

// explainUnreleased tells of Pods that do not match the selector any more and that could not be let go: they do not count, and others take their place.
func (v *view) explainUnreleased(d *plan.Decision) {
	for _, name := range slices.Sorted(maps.Keys(v.Unreleased)) {
		why := v.Unreleased[name].Error()
		d.Note("NotReleased", why)
		d.Events = append(d.Events, releaseFailed(name, why))
		d.WakeIn(releaseAgain, "a Pod could not be released")
	}
}
