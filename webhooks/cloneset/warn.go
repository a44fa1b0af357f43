// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/revision"
	"github.com/keelson/keelson/controllers/plan/rollout"
)

// fate is what an update does to the Pods that cannot follow it in place. The zero value is that there are none.
type fate struct {
	// recreates is how many Pods are recreated, as many as the partition lets change.
	recreates int
	// waits says that the Pods stay as they are, because the policy forbids to recreate them.
	waits bool
	// why names the field that cannot change in place.
	why string
}

// warn tells the user what an update of a CloneSet will do to its Pods, where that is not what its policy hopes for. Everything is read out of the two
// objects: the status of the old one says how many Pods there are, how many of them are at its template, and whether the others can follow it in place.
func warn(old, updated *object, may inplace.Options) []string {
	pods, why := compare(old, updated, may)
	now, before := foresee(updated, pods, why), fate{}
	if pods.isSameTemplate {
		// What was going to happen anyway is no news.
		before = foresee(old, pods, why)
	}
	suffix := ""
	if updated.rolling().Paused {
		suffix = " once the update is resumed"
	}
	switch {
	case now.waits && !before.waits:
		return []string{"this update will wait, because InPlaceOnly forbids to recreate Pods: " + now.why}
	case now.recreates == 1 && before.recreates == 0:
		return []string{fmt.Sprintf("this change recreates 1 Pod%s: %s", suffix, now.why)}
	case now.recreates > before.recreates:
		return []string{fmt.Sprintf("this change recreates %d Pods%s: %s", now.recreates, suffix, now.why)}
	default:
		return nil
	}
}

// standing counts Pods by how they stand to a template: at it already, able to follow it in place, or unable to.
type standing struct {
	done, able, unable int
	// isSameTemplate says that the template is the one that the Pods were on their way to before.
	isSameTemplate bool
}

// compare says how the Pods that are there stand to the template of the updated object, and why some cannot follow in place. Whether a change can be made in
// place does not depend on where a Pod is on its way, so what holds for the Pods at the old template holds for all, unless the status says that the others could not
// even follow that.
func compare(old, updated *object, may inplace.Options) (pods standing, why string) {
	// What a status says is only as true as whoever wrote it.
	all := max(int(old.Status.Replicas), 0)
	atOld := min(max(int(old.Status.UpdatedReplicas), 0), all)
	told := old.told()
	var before, after corev1.PodTemplateSpec
	if json.Unmarshal(old.Spec.Template, &before) != nil || json.Unmarshal(updated.Spec.Template, &after) != nil {
		return standing{able: all}, ""
	}
	if equality.Semantic.DeepEqual(&before, &after) {
		pods = standing{done: atOld, isSameTemplate: true}
		if told == "" {
			pods.able = all - atOld
		} else {
			pods.unable = all - atOld
		}
		return pods, told
	}
	_, verdict := inplace.Diff(&before, &after, may)
	switch {
	case verdict.OK && told == "":
		return standing{able: all}, ""
	case verdict.OK:
		return standing{able: atOld, unable: all - atOld}, told
	case old.isCurrent(&after):
		return standing{unable: atOld, done: all - atOld}, verdict.Message
	default:
		return standing{unable: all}, verdict.Message
	}
}

// told is why the running update cannot be made in place, as the status says it; empty when it can.
func (o *object) told() string {
	for _, c := range o.Status.Conditions {
		if c.Type == kruisev1beta1.CloneSetConditionInPlaceUpdatable && c.Status == corev1.ConditionFalse {
			// What follows the semicolon is what was done about it under the policy of then.
			cause, _, _ := strings.Cut(c.Message, "; ")
			return cause
		}
	}
	return ""
}

// isCurrent says that a template is that of the revision which the status calls current, so that whoever goes back to it finds Pods that never left.
func (o *object) isCurrent(template *corev1.PodTemplateSpec) bool {
	wanted, err := revision.New(revision.Owner{Object: &o.Metadata, Template: template, CollisionCount: o.Status.CollisionCount})
	return err == nil && wanted.Name == o.Status.CurrentRevision
}

func (o *object) rolling() kruisev1beta1.RollingUpdateCloneSetStrategy {
	return ptr.Deref(o.Spec.UpdateStrategy.RollingUpdate, kruisev1beta1.RollingUpdateCloneSetStrategy{})
}

// foresee says what becomes of Pods under the strategy of an object.
func foresee(o *object, pods standing, why string) fate {
	if o.Spec.UpdateStrategy.Type == kruisev1beta1.OnDeleteCloneSetUpdateStrategyType {
		return fate{}
	}
	switch o.rolling().PodUpdatePolicy {
	case kruisev1beta1.InPlaceOnlyPodUpdatePolicyType:
		return fate{waits: pods.unable > 0, why: why}
	case kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType:
		return fate{recreates: min(pods.unable, due(o, pods)), why: why}
	default:
		// Pods that are to be recreated are no news. Whether somebody wrote so or the schema did cannot be told apart.
		return fate{}
	}
}

// due is how many Pods the partition lets change.
func due(o *object, pods standing) int {
	replicas := int(ptr.Deref(o.Spec.Replicas, 1))
	partition, err := rollout.Partition(o.rolling().Partition, replicas)
	if err != nil {
		return 0
	}
	return rollout.Due(rollout.Limits{Replicas: replicas, Partition: partition}, pods.able+pods.unable, pods.done)
}

// warnOfAnnotations tells of settings of v1alpha1 that cannot be read. Those that can have become fields on their way here.
// COMPAT: they mean nothing, and are no reason to refuse.
func warnOfAnnotations(old, updated *object) []string {
	var all []string
	for _, key := range []string{
		kruisev1alpha1.ImagePreDownloadParallelismKey, kruisev1alpha1.ImagePreDownloadTimeoutSecondsKey, kruisev1alpha1.ImagePreDownloadMinUpdatedReadyPodsKey,
	} {
		value, found := updated.Metadata.Annotations[key]
		if !found || old != nil && old.Metadata.Annotations[key] == value {
			continue
		}
		all = append(all, fmt.Sprintf("metadata.annotations[%s]: %q means nothing: write a number, 0 or more", key, value))
	}
	return all
}
