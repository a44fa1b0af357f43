// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// label puts a label on a Pod.
func label(s *support.Suite, pod, key, value string) {
	s.Helper()
	s.Patch(&corev1.Pod{}, pod, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, key, value))
}

// withImage are the names of the Pods whose main container is to run an image.
func withImage(s *support.Suite, wanted string) []string {
	s.Helper()
	var names []string
	for name, pod := range s.Pods(web) {
		if image(pod, "main") == wanted {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestPodsOfAHigherWeightAreUpdatedFirst(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(5).Partition("3").MaxUnavailable("2").Obj())
	s.WaitReady("web")
	canaries := support.SortedKeys(s.Pods(web))[3:]
	for _, name := range canaries {
		label(s, name, "tier", "canary")
	}
	s.CatchUp(web)
	rolling(s, "web", `{"priorityStrategy":{"weightPriority":[{"weight":80,"matchSelector":{"matchLabels":{"tier":"canary"}}}]}}`)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "the canaries are updated", support.IsUpdated(2))
	assert.Equal(t, canaries, withImage(s, support.ImageV2))
}

func TestBatchesAreUpdatedInTheOrderOfTheirNumbers(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).Partition("3").Obj())
	s.WaitReady("web")
	names := support.SortedKeys(s.Pods(web))
	for i, batch := range []string{"batch-2", "batch-9", "batch-10"} {
		label(s, names[i], "batch", batch)
	}
	s.CatchUp(web)
	rolling(s, "web", `{"priorityStrategy":{"orderPriority":[{"orderedKey":"batch"}]}}`)
	s.SetImage("web", support.ImageV2)
	for i, want := range [][]string{{names[2]}, {names[1], names[2]}, names} {
		rolling(s, "web", fmt.Sprintf(`{"partition":%d}`, 2-i))
		s.WaitFor("web", "one Pod more is updated", support.IsUpdated(int32(i+1)))
		assert.Equal(t, want, withImage(s, support.ImageV2))
	}
}

func TestPodsWithALabelAreScattered(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(6).Partition("3").MaxUnavailable("3").Obj())
	s.WaitReady("web")
	leaders := support.SortedKeys(s.Pods(web))[:3]
	for _, name := range leaders {
		label(s, name, "role", "leader")
	}
	// A Pod that a kubelet still writes to may be put off by a conflict, and those that are left are scattered anew.
	s.Settle(web)
	rolling(s, "web", `{"scatterStrategy":[{"key":"role","value":"leader"}]}`)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "half of the Pods are updated", support.IsUpdated(3))
	updated := withImage(s, support.ImageV2)
	count := 0
	for _, name := range leaders {
		if slices.Contains(updated, name) {
			count++
		}
	}
	assert.Equal(t, 1, count, "of three Pods one is a leader: %v of %v", updated, leaders)
}

func TestABrokenPodDoesNotWaitForThoseOfAHigherPriority(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).MaxUnavailable("1").Obj())
	s.WaitReady("web")
	s.SetImage("web", support.ImageMissing)
	s.Eventually("a Pod is broken", func() bool { return len(withImage(s, support.ImageMissing)) == 1 })
	broken := withImage(s, support.ImageMissing)[0]
	for name := range s.Pods(web) {
		if name != broken {
			label(s, name, "tier", "canary")
		}
	}
	s.CatchUp(web)
	rolling(s, "web", `{"priorityStrategy":{"weightPriority":[{"weight":80,"matchSelector":{"matchLabels":{"tier":"canary"}}}]}}`)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(3))
}

func TestScalingInLeavesTheZonesEven(t *testing.T) {
	s := support.Begin(t)
	var nodes corev1.NodeList
	require.NoError(t, s.Resources.List(t.Context(), &nodes))
	require.GreaterOrEqual(t, len(nodes.Items), 2)
	crowded, other := nodes.Items[0], nodes.Items[1]
	require.NotEqual(t, crowded.Labels[corev1.LabelTopologyZone], other.Labels[corev1.LabelTopologyZone])

	set := support.MakeCloneSet("web").Obj()
	set.Spec.Template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: set.Spec.Selector,
	}}
	set.Spec.UpdateStrategy.Type = kruisev1beta1.OnDeleteCloneSetUpdateStrategyType
	// Pods that the set adopts can be put where they are wanted. The last one is the youngest, and would go first but for its zone.
	for i, node := range []corev1.Node{crowded, crowded, other} {
		name := fmt.Sprintf("web-%d", i)
		labels := maps.Clone(set.Spec.Template.Labels)
		labels[kruisev1beta1.CloneSetInstanceIDKey] = fmt.Sprint(i)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: *set.Spec.Template.Spec.DeepCopy()}
		pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node.Labels[corev1.LabelHostname]}
		s.Create(pod)
		s.Eventually(name+" is ready", func() bool { return support.IsReady(s.Pods(web)[name]) })
		assert.Equal(t, node.Labels[corev1.LabelTopologyZone], s.Pods(web)[name].Labels[corev1.LabelTopologyZone], "Kubernetes copies the zone")
		ready := since(s.Pods(web)[name], corev1.PodReady, corev1.ConditionTrue)
		s.Eventually("the next Pod is younger, and ready later, by the seconds that Kubernetes counts in", func() bool { return time.Since(ready) > 2*time.Second })
	}
	s.Create(set)
	s.WaitFor("web", "the Pods are adopted", isAvailable(3))
	replicas(s, "2")
	s.WaitFor("web", "two Pods are left", isAvailable(2))
	left := support.SortedKeys(s.Pods(web))
	assert.Len(t, left, 2)
	assert.Contains(t, left, "web-2", "a Pod of the crowded zone goes first")
}

func TestScalingOutWaitsForPodsThatDoNotServe(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(3).MinReadySeconds(2).Obj()
	part := support.Text("30%")
	set.Spec.ScaleStrategy.MaxUnavailable = &part
	s.Create(set)
	s.WaitFor("web", "three Pods are available", isAvailable(3))
	var pods []corev1.Pod
	for _, pod := range s.Pods(web) {
		pods = append(pods, pod)
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	for i := range pods[1:] {
		gap := pods[i+1].CreationTimestamp.Sub(pods[i].CreationTimestamp.Time)
		assert.GreaterOrEqual(t, gap, 2*time.Second, "%s is created when %s has been ready for two seconds", pods[i+1].Name, pods[i].Name)
	}
	s.AwaitEvent("web", "ScaleUpLimited", "")
}

func TestASurgeAndUnavailablePodsTogether(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(4).Policy(kruisev1beta1.RecreatePodUpdatePolicyType).MaxSurge("1").MaxUnavailable("1").Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "all Pods are updated, and the surge is gone", func(set *kruisev1beta1.CloneSet) bool {
		return support.IsUpdated(4)(set) && set.Status.Replicas == 4
	})
	assert.GreaterOrEqual(t, witness.Least(), 3)
	assert.Equal(t, 5, witness.Most(), "replicas + maxSurge")
	for name := range s.Pods(web) {
		assert.NotContains(t, before, name)
	}
}

func TestPrioritiesThatCannotBeAreRefused(t *testing.T) {
	s := support.Begin(t)
	for fields, want := range map[string]string{
		`{"priorityStrategy":{"weightPriority":[{"weight":101,"matchSelector":{"matchLabels":{"a":"b"}}}]}}`:                                    "weightPriority[0].weight",
		`{"priorityStrategy":{"weightPriority":[{"weight":1,"matchSelector":{"matchExpressions":[{"key":"a","operator":"In"}]}}]}}`:             "weightPriority[0].matchSelector",
		`{"priorityStrategy":{"weightPriority":[{"weight":1,"matchSelector":{"matchLabels":{"a":"not a label"}}}]}}`:                            "weightPriority[0].matchSelector",
		`{"scatterStrategy":[{"key":"a","value":"b"},{"key":"a","value":"b"}]}`:                                                                 "scatterStrategy[1]",
		`{"priorityStrategy":{"orderPriority":[{"orderedKey":"a"}],"weightPriority":[{"weight":1,"matchSelector":{"matchLabels":{"a":"b"}}}]}}`: "priorityStrategy",
	} {
		set := support.MakeCloneSet("web").Obj()
		manifest := fmt.Sprintf(`{"apiVersion":"apps.kruise.io/v1beta1","kind":"CloneSet","metadata":{"name":"web"},"spec":%s}`, support.JSON(set.Spec))
		manifest = strings.Replace(manifest, `"rollingUpdate":{`, `"rollingUpdate":{`+strings.TrimSuffix(strings.TrimPrefix(fields, "{"), "}")+",", 1)
		out, err := support.Kubectl(t.Context(), []byte(manifest), "-n", s.Namespace, "apply", "--dry-run=server", "-f", "-")
		require.ErrorContains(t, err, "exit status 1", out)
		assert.Contains(t, out, "is invalid: ")
		assert.Contains(t, out, want)
	}
}
