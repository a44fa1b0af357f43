// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/cloneset"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// TestManyRefusedResizesAreAskedForInTurns is about what a quota refuses: it must neither cost a write of each Pod in every pass, nor keep any Pod from its turn.
func TestManyRefusedResizesAreAskedForInTurns(t *testing.T) {
	const number = 250
	set := MakeCloneSet("web").Replicas(number).InPlaceIfPossible().CPU("200m").Obj()
	set.UID = "set"
	s := cloneset.Snapshot{Set: set, Policy: plan.Policy{VerticalScaling: true}, Now: time.Unix(1_800_000_000, 0)}
	keepRevisions(t, &s)
	revision := s.Revisions[0].Name
	for i := range number {
		pod := servingPod(set, revision, i)
		pod.Labels[pub.LifecycleStateKey] = string(pub.LifecycleStateUpdating)
		pod.Annotations = map[string]string{pub.InPlaceUpdateStateKey: fmt.Sprintf(
			`{"revision":%q,"updateTimestamp":null,"updateResources":true,"containerResources":{"main":{"requests":{"cpu":"200m"}}}}`, revision)}
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		s.Pods = append(s.Pods, pods.Read(pod))
	}
	asked := map[string]bool{}
	for range 3 {
		actions := cloneset.Plan(s).Actions
		assert.Len(t, actions, 100)
		for _, a := range actions {
			assert.Equal(t, "resize", a.Changes[0].Subresource)
			asked[a.Object.GetName()] = true
		}
		s.Now = s.Now.Add(100 * time.Second)
	}
	assert.Len(t, asked, number)
}
