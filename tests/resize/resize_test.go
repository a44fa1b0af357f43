// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package resize_test is the suite of the gate InPlaceWorkloadVerticalScaling, on the overlay that switches every gate on.
package resize_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "all") }

const web = "app=web"

func sized(cpu, memory string) corev1.ResourceRequirements {
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	return corev1.ResourceRequirements{Requests: list}
}

// makeSet is a CloneSet whose container main has requests.
func makeSet(name, cpu, memory string) *kruisev1beta1.CloneSet {
	set := support.MakeCloneSet(name).Replicas(2).MaxUnavailable("1").Obj()
	set.Spec.Template.Spec.Containers[0].Resources = sized(cpu, memory)
	return set
}

// resize changes the requests of the container main.
func resize(s *support.Suite, name string, to corev1.ResourceRequirements) {
	s.Helper()
	containers := s.CloneSet(name).Spec.Template.Spec.Containers
	containers[0].Resources = to
	s.Patch(&kruisev1beta1.CloneSet{}, name, `{"spec":{"template":{"spec":{"containers":`+support.JSON(containers)+`}}}}`)
}

// requireResized says that Pods were kept, how often main restarted, and that it has its CPU.
func requireResized(t *testing.T, before, after map[string]corev1.Pod, restarts int32, cpu string) {
	t.Helper()
	for name, pod := range after {
		assert.Equal(t, before[name].UID, pod.UID, "Pod %s was there", name)
		main := pod.Status.ContainerStatuses[0]
		assert.Equal(t, restarts, main.RestartCount, "restarts in %s", name)
		if assert.NotNil(t, main.Resources) {
			got := main.Resources.Requests[corev1.ResourceCPU]
			assert.Zero(t, got.Cmp(resource.MustParse(cpu)), "%s has %s", name, got.String())
		}
	}
}

func TestRequestsChangeWithoutARestart(t *testing.T) {
	s := support.Begin(t)
	s.Create(makeSet("web", "20m", "16Mi"))
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)
	resize(s, "web", sized("30m", "16Mi"))
	s.WaitFor("web", "both Pods are resized", support.IsUpdated(2))
	requireResized(t, before, s.Pods(web), 0, "30m")
	assert.Equal(t, 2, witness.Least(), "a Pod that does not restart serves on")
	s.AwaitEvent("web", "SuccessfulUpdatePodInPlace", "")
}

func TestAContainerThatAsksForItRestarts(t *testing.T) {
	s := support.Begin(t)
	set := makeSet("web", "20m", "16Mi")
	set.Spec.Template.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.RestartContainer}}
	s.Create(set)
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)
	resize(s, "web", sized("30m", "16Mi"))
	s.WaitFor("web", "both Pods are resized", support.IsUpdated(2))
	requireResized(t, before, s.Pods(web), 1, "30m")
	assert.Equal(t, 1, witness.Least(), "they are drained one after the other")
}

func TestAResizeThatNoNodeCanMakeIsTold(t *testing.T) {
	s := support.Begin(t)
	s.Create(makeSet("web", "20m", "16Mi"))
	s.WaitReady("web")
	before := s.Pods(web)
	s.ExpectErrors("node didn't have enough allocatable resources: cpu, requested: 900000")
	resize(s, "web", sized("900", "16Mi"))
	// Who says no depends on the version: the API server of 1.36 refuses what the kubelets of older ones called infeasible.
	s.WaitFor("web", "Stalled says why", func(set *kruisev1beta1.CloneSet) bool {
		c := support.Condition(set, kruisev1beta1.CloneSetConditionStalled)
		return c != nil && c.Status == corev1.ConditionTrue && strings.Contains(c.Message, "cpu") &&
			(c.Reason == "ResizeRefused" && strings.Contains(c.Message, "Pod web-") || c.Reason == "ResizeInfeasible" && strings.Contains(c.Message, "(Infeasible)"))
	})
	s.Eventually("an event tells of it", func() bool {
		return s.HasEvent("web", "FailedUpdatePodInPlace", "allocatable") || s.HasEvent("web", "ResizeInfeasible", "the node can never give Pod web-")
	})
	s.WaitFor("web", "the other Pod waits and serves, and the first is ready all the same", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.AvailableReplicas == 1 && set.Status.ReadyReplicas == 2 && set.Status.UpdatedReplicas == 1
	})
	resize(s, "web", sized("20m", "16Mi"))
	s.WaitFor("web", "what was there before is there again", support.IsUpdated(2))
	requireResized(t, before, s.Pods(web), 0, "20m")
}

func TestAResizeThatWaitsForRoomIsToldAndMade(t *testing.T) {
	s := support.Begin(t)
	var nodes corev1.NodeList
	require.NoError(t, s.Resources.List(t.Context(), &nodes))
	node := nodes.Items[0]
	most := resource.NewMilliQuantity(node.Status.Allocatable.Cpu().MilliValue()*6/10, resource.DecimalSI).String()
	there := func(set *kruisev1beta1.CloneSet) *kruisev1beta1.CloneSet {
		set.Spec.Replicas = new(int32(1))
		set.Spec.Template.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node.Labels[corev1.LabelHostname]}
		return set
	}
	neighbour := there(makeSet("neighbour", most, "16Mi"))
	s.Create(neighbour, there(makeSet("web", "20m", "16Mi")))
	s.WaitReady("neighbour")
	s.WaitReady("web")
	before := s.Pods(web)
	resize(s, "web", sized(most, "16Mi"))
	s.WaitFor("web", "Reconciling says that the node has no room", func(set *kruisev1beta1.CloneSet) bool {
		c := support.Condition(set, kruisev1beta1.CloneSetConditionReconciling)
		return c != nil && c.Status == corev1.ConditionTrue && c.Reason == "ResizeDeferred" && strings.Contains(c.Message, "(Deferred)")
	})
	s.AwaitEvent("web", "ResizeDeferred", "the node cannot give Pod web-")
	s.Scale(neighbour, 0)
	s.WaitFor("web", "the Pod is resized as soon as there is room", support.IsUpdated(1))
	requireResized(t, before, s.Pods(web), 0, most)
}

func TestAnImageAndRequestsChangeTogether(t *testing.T) {
	s := support.Begin(t)
	s.Create(makeSet("web", "20m", "16Mi"))
	s.WaitReady("web")
	before := s.Pods(web)
	containers := s.CloneSet("web").Spec.Template.Spec.Containers
	containers[0].Resources, containers[0].Image = sized("30m", "20Mi"), support.ImageV2
	s.Patch(&kruisev1beta1.CloneSet{}, "web", `{"spec":{"template":{"spec":{"containers":`+support.JSON(containers)+`}}}}`)
	s.WaitFor("web", "both Pods are updated", support.IsUpdated(2))
	requireResized(t, before, s.Pods(web), 1, "30m")
}

func TestAnotherQoSClassNeedsNewPods(t *testing.T) {
	s := support.Begin(t)
	s.Create(makeSet("web", "20m", "16Mi"))
	s.WaitReady("web")
	before := s.Pods(web)
	guaranteed := sized("20m", "16Mi")
	guaranteed.Limits = guaranteed.Requests
	resize(s, "web", guaranteed)
	s.WaitFor("web", "both Pods are updated", support.IsUpdated(2))
	for name := range s.Pods(web) {
		assert.NotContains(t, before, name)
	}
	s.AwaitEvent("web", "InPlaceUpdateImpossible", "spec.template.spec.containers[0].resources.limits")
}
