// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// changeVolumes changes which volumes new Pods get, and what becomes of those of others.
func (c *chaos) changeVolumes(b *builder) string {
	if c.rand.IntN(2) == 0 {
		reuse := &b.set.Spec.ScaleStrategy.EnablePVCReuse
		*reuse = !*reuse
		return fmt.Sprintf("sets enablePVCReuse to %t", *reuse)
	}
	name := c.one("data", "logs")
	templates := &b.set.Spec.VolumeClaimTemplates
	before := len(*templates)
	*templates = slices.DeleteFunc(slices.Clone(*templates), func(t corev1.PersistentVolumeClaim) bool { return t.Name == name })
	if len(*templates) < before {
		return "removes the volume claim template " + name
	}
	b.Volume(name)
	return "adds the volume claim template " + name
}

// losesVolume says that a Pod without a node misses a claim that nobody can make any more.
func (c *chaos) losesVolume() bool {
	for _, pod := range c.Pods() {
		for _, v := range pod.Spec.Volumes {
			isTemplate := func(t corev1.PersistentVolumeClaim) bool { return t.Name == v.Name }
			isKnown := slices.ContainsFunc(c.controller.set.Spec.VolumeClaimTemplates, isTemplate)
			if pod.Spec.NodeName == "" && !isKnown && c.Claim(v.PersistentVolumeClaim.ClaimName) == nil {
				return true
			}
		}
	}
	return false
}

// judgeClaims looks for Pods that miss their claims, and for claims that nobody needs.
func (c *chaos) judgeClaims() string {
	users := map[string]bool{}
	for _, pod := range c.Pods() {
		for _, v := range pod.Spec.Volumes {
			users[v.PersistentVolumeClaim.ClaimName] = true
			if c.Claim(v.PersistentVolumeClaim.ClaimName) == nil && pod.Status.Phase != corev1.PodFailed {
				return fmt.Sprintf("at rest %s misses its claim %s", pod.Name, v.PersistentVolumeClaim.ClaimName)
			}
		}
	}
	for _, claim := range c.Claims(c.controller.set.UID) {
		if !users[claim.Name] && !c.controller.set.Spec.ScaleStrategy.EnablePVCReuse {
			return fmt.Sprintf("at rest nobody uses claim %s", claim.Name)
		}
	}
	return ""
}
