// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// Hash identifies what templates ask for: names and specs, whatever their order, labels and annotations. It is a decimal number of 64 bits, and empty
// for no templates.
func Hash(templates []corev1.PersistentVolumeClaim) string {
	if len(templates) == 0 {
		return ""
	}
	lines := make([]string, 0, len(templates))
	for i := range templates {
		spec := templates[i].Spec.DeepCopy()
		mode := modeOf(spec)
		spec.VolumeMode = &mode
		raw, err := json.Marshal(spec)
		if err != nil {
			// NOTE: a spec that was decoded always encodes.
			panic(err)
		}
		lines = append(lines, templates[i].Name+" "+string(raw))
	}
	slices.Sort(lines)
	h := fnv.New64a()
	h.Write([]byte(strings.Join(lines, "\n")))
	return strconv.FormatUint(h.Sum64(), 10)
}

// Fits says that the claims of an instance, made at another time, are what the templates ask for now: those that are there are of the same kind and
// large enough. Claims that are not there can be made.
func (w Workload) Fits(instance string, there []*corev1.PersistentVolumeClaim) bool {
	for i := range w.Templates {
		name := w.Claim(w.Templates[i].Name, instance)
		for _, c := range there {
			if c.Name == name && !fits(&c.Spec, &w.Templates[i].Spec) {
				return false
			}
		}
	}
	return true
}

// HasAny says that one of the claims of an instance was made from a template that there is now.
func (w Workload) HasAny(instance string, there []*corev1.PersistentVolumeClaim) bool {
	return slices.ContainsFunc(there, func(c *corev1.PersistentVolumeClaim) bool {
		return slices.ContainsFunc(w.Templates, func(t corev1.PersistentVolumeClaim) bool { return w.Claim(t.Name, instance) == c.Name })
	})
}

func fits(is, wanted *corev1.PersistentVolumeClaimSpec) bool {
	// A class that is not named is filled in by the cluster.
	isOfClass := wanted.StorageClassName == nil || is.StorageClassName != nil && *is.StorageClassName == *wanted.StorageClassName
	asks, has := wanted.Resources.Requests[corev1.ResourceStorage], is.Resources.Requests[corev1.ResourceStorage]
	return isOfClass && has.Cmp(asks) >= 0 && modeOf(is) == modeOf(wanted) && equality.Semantic.DeepEqual(is.AccessModes, wanted.AccessModes)
}

func modeOf(spec *corev1.PersistentVolumeClaimSpec) corev1.PersistentVolumeMode {
	if spec.VolumeMode == nil {
		return corev1.PersistentVolumeFilesystem
	}
	return *spec.VolumeMode
}
