// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// calm ends all trouble, with a last wish that can be fulfilled, and says what is wrong with the world that comes of it.
func (c *chaos) calm() string {
	c.Faults, c.Chance, c.Full = nil, nil, false
	c.Script.Scene("the user wants one thing more, and all trouble ends")
	for _, stranger := range c.Strangers() {
		c.Edit(stranger.Name, func(p *corev1.Pod) { p.Finalizers = nil })
		c.DeletePod(stranger.Name)
	}
	c.controller.Edit(func(set *kruisev1beta1.CloneSet) {
		b := (&builder{set}).Image(c.one("app:v1", "app:v2", "app:v3", "app:v4"))
		c.lastParts(b)
		b.rolling().Paused = false
		if c.rand.IntN(2) == 0 {
			set.Spec.Lifecycle = nil
		}
		set.Spec.ScaleStrategy.MaxUnavailable = nil
		set.Spec.UpdateStrategy.Type = kruisev1beta1.RollingUpdateCloneSetUpdateStrategyType
	})
	c.letAllGo()
	for range restRounds {
		c.Settle(restTurns)
		if problem := c.problem(); problem != "" {
			return problem
		}
		if !c.serveHooks() {
			return c.judge()
		}
	}
	return "the owner of the hooks is asked for ever"
}

// judge compares a world at rest with what was wished for.
func (c *chaos) judge() string {
	promise := c.controller.Promise(c.World)
	tally := promise.Tally(c.Pods(), c.Now)
	if c.losesVolume() {
		// NOTE: somebody deleted a claim before its Pod had a node, and the template of it is gone: that Pod waits for a human.
		c.skipped = "a claim is lost"
		return ""
	}
	isInPlaceOnly := c.controller.set.Spec.UpdateStrategy.RollingUpdate.PodUpdatePolicy == kruisev1beta1.InPlaceOnlyPodUpdatePolicyType
	wantUpdated := promise.Replicas - promise.Partition
	if (isInPlaceOnly || promise.Partition > 0) && c.keepsBroken() {
		// NOTE: the spec itself keeps Pods that cannot work; others may wait for them for ever.
		c.skipped = "the spec keeps Pods that cannot work"
		return ""
	}
	switch {
	case tally.Active != promise.Replicas:
		return fmt.Sprintf("at rest there are %d Pods of %d", tally.Active, promise.Replicas)
	case tally.Updated < wantUpdated && !isInPlaceOnly:
		return fmt.Sprintf("at rest %d Pods are updated of %d", tally.Updated, wantUpdated)
	case tally.UpdatedAvailable < tally.Updated:
		return fmt.Sprintf("at rest %d updated Pods are available of %d", tally.UpdatedAvailable, tally.Updated)
	}
	if problem := c.judgeStatus(tally); problem != "" {
		return problem
	}
	if problem := c.judgeClaims(); problem != "" {
		return problem
	}
	if problem := c.judgeTemplates(promise); problem != "" {
		return problem
	}
	return c.judgePods()
}

// judgeTemplates compares the newest revision with what the user wants, and every Pod with what its own revision says.
func (c *chaos) judgeTemplates(promise sim.Promise) string {
	if newest := c.Newest(); newest == nil || !equality.Semantic.DeepEqual(*newest, c.controller.set.Spec.Template) {
		return "at rest the newest revision is not the template"
	}
	for _, pod := range c.Pods() {
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if difference := c.Difference(promise, pod); difference != "" {
			return fmt.Sprintf("at rest %s is not what its revision says: %s", pod.Name, difference)
		}
	}
	return ""
}

// judgeStatus compares what is told with what is.
func (c *chaos) judgeStatus(tally sim.Tally) string {
	s := c.controller.set.Status
	told := sim.Tally{
		Active: int(s.Replicas), Available: int(s.AvailableReplicas), Updated: int(s.UpdatedReplicas), UpdatedAvailable: int(s.UpdatedAvailableReplicas),
	}
	is := map[kruisev1beta1.CloneSetConditionType]bool{}
	for _, condition := range s.Conditions {
		is[condition.Type] = condition.Status == corev1.ConditionTrue
	}
	replicas := int(*c.controller.set.Spec.Replicas)
	isComplete := tally == sim.Tally{Active: replicas, Available: replicas, Updated: replicas, UpdatedAvailable: replicas}
	switch {
	case told != tally:
		return fmt.Sprintf("at rest the status tells of %+v, but there are %+v", told, tally)
	case s.ObservedGeneration != c.controller.set.Generation:
		return "at rest the status speaks of an old generation"
	case isComplete && !is[kruisev1beta1.CloneSetConditionReady]:
		return "at rest all is done, but Ready is not True"
	case is[kruisev1beta1.CloneSetConditionReady] && (is[kruisev1beta1.CloneSetConditionReconciling] || is[kruisev1beta1.CloneSetConditionStalled]):
		return "at rest Ready is True together with Reconciling or Stalled"
	default:
		return ""
	}
}

// keepsBroken says that there are Pods whose image cannot work.
func (c *chaos) keepsBroken() bool {
	for _, pod := range c.Pods() {
		if pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if c.isTooLarge(pod) {
			return true
		}
		for i := range pod.Spec.Containers {
			if image := c.Images[pod.Spec.Containers[i].Image]; image.Missing || image.Crashes {
				return true
			}
		}
	}
	return false
}

// judgePods looks for Pods that work and are not let to.
func (c *chaos) judgePods() string {
	promise := c.controller.Promise(c.World)
	for _, pod := range c.Pods() {
		works := pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodFailed
		for i := range pod.Spec.Containers {
			container := &pod.Spec.Containers[i]
			works = works && c.Runs(pod, container.Name) == container.Image
		}
		if works && promise.Tally([]*corev1.Pod{pod}, c.Now).Available == 0 {
			return fmt.Sprintf("at rest %s works and is not available", pod.Name)
		}
	}
	return ""
}
