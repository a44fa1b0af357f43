// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/cloneset"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/lifecycle"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// many is how many Pods the benchmarks plan for.
const many = 10_000

// crowd is a CloneSet of many Pods that serve, all at its revision.
func crowd(b *testing.B, set *kruisev1beta1.CloneSet) cloneset.Snapshot {
	b.Helper()
	set.UID, set.Generation = "set", 1
	s := cloneset.Snapshot{Set: set, Now: time.Unix(1_800_000_000, 0)}
	keepRevisions(b, &s)
	for i := range many {
		s.Pods = append(s.Pods, pods.Read(servingPod(set, s.Revisions[0].Name, i)))
	}
	// What a pass reports is what the next one sees.
	set.Status = cloneset.Status(s, plan.Decision{}, plan.Outcome{})
	require.True(b, cloneset.Plan(s).IsEmpty(), "nothing is left to do")
	return s
}

// keepRevisions performs the plan for the history, so that the benchmark begins after it.
func keepRevisions(b testing.TB, s *cloneset.Snapshot) {
	b.Helper()
	for _, a := range cloneset.Plan(*s).Actions {
		if rev, isRevision := a.Object.(*appsv1.ControllerRevision); isRevision && a.Verb == plan.Create {
			rev.UID = types.UID(rev.Name)
			s.Revisions = append(s.Revisions, rev)
		}
	}
	require.NotEmpty(b, s.Revisions)
}

func servingPod(set *kruisev1beta1.CloneSet, revision string, i int) *corev1.Pod {
	id := fmt.Sprintf("%05d", i)
	pod := pods.Build(&set.Spec.Template, pods.Identity{
		Namespace: set.Namespace, Name: set.Name + "-" + id,
		Owner: *metav1.NewControllerRef(set, kruisev1beta1.GroupVersion.WithKind("CloneSet")),
		Labels: map[string]string{
			appsv1.ControllerRevisionHashLabelKey: revision, appsv1.DefaultDeploymentUniqueLabelKey: "1", pub.LifecycleStateKey: string(pub.LifecycleStateNormal),
			kruisev1beta1.CloneSetInstanceIDKey: id,
		},
	})
	since := metav1.NewTime(time.Unix(1_700_000_000+int64(i%977), 0))
	pod.UID, pod.ResourceVersion, pod.CreationTimestamp = types.UID("pod-"+id), "1", since
	pod.Spec.NodeName = fmt.Sprintf("node-%d", i%100)
	pod.Status.Phase = corev1.PodRunning
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady, pub.InPlaceUpdateReady, pub.KruisePodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: since})
	}
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: c.Image, Ready: true})
	}
	return pod
}

// plans reports what one plan takes, and what it allocates for each Pod.
func plans(b *testing.B, s cloneset.Snapshot) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		pass := cloneset.Look(s)
		pass.Plan()
		pass.Status(plan.Outcome{})
	}
	b.ReportMetric(many, "Pods/op")
}

func BenchmarkPlan(b *testing.B) {
	for _, bc := range []struct {
		name   string
		set    *builder
		change func(*kruisev1beta1.CloneSet)
	}{
		{name: "nothing to do", set: MakeCloneSet("web").Replicas(many)},
		{name: "in place, one of a hundred at a time", set: MakeCloneSet("web").Replicas(many).InPlaceIfPossible().MaxUnavailable("1%"), change: newImage},
		{name: "in place, all at once", set: MakeCloneSet("web").Replicas(many).InPlaceIfPossible().MaxUnavailable("100%"), change: newImage},
		{name: "recreate, one of a hundred at a time", set: MakeCloneSet("web").Replicas(many).MaxUnavailable("1%"), change: newImage},
		{name: "scale in by half", set: MakeCloneSet("web").Replicas(many), change: func(set *kruisev1beta1.CloneSet) { *set.Spec.Replicas = many / 2 }},
		{name: "scale out by half", set: MakeCloneSet("web").Replicas(many), change: func(set *kruisev1beta1.CloneSet) { *set.Spec.Replicas = many * 3 / 2 }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			s := crowd(b, bc.set.Obj().DeepCopy())
			if bc.change != nil {
				bc.change(s.Set)
				s.Set.Generation++
				keepRevisions(b, &s)
			}
			for i := range 500 {
				s.FreshIDs = append(s.FreshIDs, fmt.Sprintf("n%04d", i))
			}
			plans(b, s)
		})
	}
}

// BenchmarkWaiting is about a set in which every Pod was told to change and none has followed yet: each event of one of them brings a pass.
func BenchmarkWaiting(b *testing.B) {
	set := MakeCloneSet("web").Replicas(many).InPlaceIfPossible().MaxUnavailable("100%").Obj().DeepCopy()
	s := crowd(b, set)
	newImage(set)
	set.Generation++
	keepRevisions(b, &s)
	target := inplace.Target{Revision: s.Revisions[1].Name, Spec: inplace.Spec{Images: map[string]string{"main": set.Spec.Template.Spec.Containers[0].Image}}}
	for i, f := range s.Pods {
		f.Pod.Annotations = map[string]string{pub.RuntimeContainerMetaKey: `{"containers":[{"name":"main","containerID":"containerd://old","hashes":{"plainHash":1}}]}`}
		f.Pod.Status.ContainerStatuses[0].ContainerID = "containerd://old"
		changes, err := inplace.Begin(f, target, s.Now)
		require.NoError(b, err)
		pod := f.Pod
		for _, change := range changes {
			pod = patched(b, pod, change)
		}
		pod.Labels[appsv1.ControllerRevisionHashLabelKey] = target.Revision
		s.Pods[i] = pods.Read(pod)
	}
	set.Status = cloneset.Status(s, plan.Decision{}, plan.Outcome{})
	require.Empty(b, cloneset.Plan(s).Actions, "all wait")
	plans(b, s)
}

// BenchmarkHooked is about a set in which every Pod waits for its hook: before an update, or before its deletion.
func BenchmarkHooked(b *testing.B) {
	for name, state := range map[string]pub.LifecycleStateType{
		"before an update": pub.LifecycleStatePreparingUpdate, "before a deletion": pub.LifecycleStatePreparingDelete,
	} {
		b.Run(name, func(b *testing.B) {
			hook := &pub.LifecycleHook{LabelsHandler: map[string]string{"drain": "me"}, FinalizersHandler: []string{"example.com/drain"}, MarkPodNotReady: true}
			set := MakeCloneSet("web").Replicas(many).InPlaceIfPossible().MaxUnavailable("100%").Lifecycle(pub.Lifecycle{InPlaceUpdate: hook, PreDelete: hook}).Obj().DeepCopy()
			set.Spec.Template.Labels["drain"] = "me"
			s := crowd(b, set)
			if state == pub.LifecycleStatePreparingDelete {
				*set.Spec.Replicas = 0
			} else {
				newImage(set)
			}
			set.Generation++
			keepRevisions(b, &s)
			for i, f := range s.Pods {
				f.Pod.Labels[pub.LifecycleStateKey] = string(state)
				s.Pods[i] = pods.Read(f.Pod)
				held := s.Pods[i].Readiness
				condition, _ := held.Change(lifecycle.Hooks{Lifecycle: set.Spec.Lifecycle}.Readiness(held, state), s.Now)
				f.Pod.Status.Conditions = append(f.Pod.Status.Conditions[:3:3], condition)
				s.Pods[i] = pods.Read(f.Pod)
			}
			set.Status = cloneset.Status(s, plan.Decision{}, plan.Outcome{})
			require.Empty(b, cloneset.Plan(s).Actions, "all wait")
			plans(b, s)
		})
	}
}

// patched is a Pod with a change, as the API server would have it.
func patched(b *testing.B, pod *corev1.Pod, change plan.Change) *corev1.Pod {
	b.Helper()
	old, err := json.Marshal(pod)
	require.NoError(b, err)
	merged, err := strategicpatch.StrategicMergePatch(old, change.Patch, &corev1.Pod{})
	require.NoError(b, err)
	updated := &corev1.Pod{}
	require.NoError(b, json.Unmarshal(merged, updated))
	return updated
}

func newImage(set *kruisev1beta1.CloneSet) { set.Spec.Template.Spec.Containers[0].Image += "-next" }

func BenchmarkFacts(b *testing.B) {
	set := MakeCloneSet("web").Obj()
	set.UID = "set"
	pod := servingPod(set, "web-1", 1)
	pod.Annotations = map[string]string{pub.InPlaceUpdateStateKey: `{"revision":"web-1","updateTimestamp":"2026-01-01T00:00:00Z","lastContainerStatuses":{"main":{"imageID":"a"}}}`}
	b.ReportAllocs()
	for b.Loop() {
		pods.Read(pod)
	}
}
