// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package shorthash_test is the suite of the gate CloneSetShortHash, on the overlay that switches it on.
package shorthash_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "short-hash") }

func TestPodsCarryTheHashAlone(t *testing.T) {
	s := support.Begin(t)
	// A name that the full label would not hold.
	name := strings.Repeat("long-", 11) + "name"
	s.Create(support.MakeCloneSet(name).Replicas(2).Obj())
	set := s.WaitReady(name)
	for _, pod := range s.Pods("app=" + name) {
		hash := pod.Labels[appsv1.ControllerRevisionHashLabelKey]
		assert.NotContains(t, hash, "-")
		assert.True(t, strings.HasSuffix(set.Status.UpdateRevision, "-"+hash))
	}
	before := s.Pods("app=" + name)
	s.SetImage(name, support.ImageV2)
	s.WaitFor(name, "updated in place", func(set *kruisev1beta1.CloneSet) bool { return set.Status.UpdatedAvailableReplicas == 2 })
	for pod := range s.Pods("app=" + name) {
		assert.Contains(t, before, pod)
	}
}
