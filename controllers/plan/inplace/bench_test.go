// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/controllers/plan/inplace"
)

func BenchmarkDiff(b *testing.B) {
	old, updated := template(), changed(func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Image = "main:2" })
	b.ReportAllocs()
	for b.Loop() {
		inplace.Diff(old, updated, inplace.Options{})
	}
}
