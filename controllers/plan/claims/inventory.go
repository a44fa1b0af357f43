// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Inventory finds the claims of an instance. The zero value is empty.
type Inventory struct {
	// instances is sorted, and runs beside claims.
	instances []string
	claims    []*corev1.PersistentVolumeClaim
}

// Sort makes an inventory of claims that carry their instance in a label; those without it are left out. The claims are only read.
func Sort(all []*corev1.PersistentVolumeClaim, label string) Inventory {
	type entry struct {
		instance string
		claim    *corev1.PersistentVolumeClaim
	}
	entries := make([]entry, 0, len(all))
	for _, c := range all {
		if instance := c.Labels[label]; instance != "" {
			entries = append(entries, entry{instance, c})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.instance, b.instance), strings.Compare(a.claim.Name, b.claim.Name))
	})
	inventory := Inventory{make([]string, len(entries)), make([]*corev1.PersistentVolumeClaim, len(entries))}
	for i, e := range entries {
		inventory.instances[i], inventory.claims[i] = e.instance, e.claim
	}
	return inventory
}

// Of are the claims of an instance, sorted by name; those that are being deleted too. The caller must not write to the slice.
func (i Inventory) Of(instance string) []*corev1.PersistentVolumeClaim {
	from, found := slices.BinarySearch(i.instances, instance)
	if !found {
		return nil
	}
	to := from
	for to < len(i.instances) && i.instances[to] == instance {
		to++
	}
	return i.claims[from:to:to]
}

// Free are the instances that new Pods may take over with their claims, sorted: the wanted ones, none of whose claims is being deleted.
func (i Inventory) Free(wants func(instance string, all []*corev1.PersistentVolumeClaim) bool) []string {
	var free []string
	for at := 0; at < len(i.instances); {
		instance := i.instances[at]
		all := i.Of(instance)
		at += len(all)
		if !slices.ContainsFunc(all, IsGoing) && wants(instance, all) {
			free = append(free, instance)
		}
	}
	return free
}

// IsGoing says that a claim is being deleted.
func IsGoing(claim *corev1.PersistentVolumeClaim) bool { return claim.DeletionTimestamp != nil }
