// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pods_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

var now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func ready(changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}, Annotations: map[string]string{}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-10 * time.Second))},
			{Type: pub.InPlaceUpdateReady, Status: corev1.ConditionTrue},
		}},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func state(s pub.LifecycleStateType) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[pub.LifecycleStateKey] = string(s) }
}

func TestAvailability(t *testing.T) {
	for name, tc := range map[string]struct {
		pod             *corev1.Pod
		minReadySeconds int32
		want            bool
	}{
		"a ready Pod":                     {pod: ready(), want: true},
		"in state Normal":                 {pod: ready(state(pub.LifecycleStateNormal)), want: true},
		"but not while it is new":         {pod: ready(state(pub.LifecycleStatePreparingNormal))},
		"nor while it is updated":         {pod: ready(state(pub.LifecycleStateUpdating))},
		"nor while it waits for deletion": {pod: ready(state(pub.LifecycleStatePreparingDelete))},
		"nor when it is not ready":        {pod: ready(func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })},
		"nor when it is drained":          {pod: ready(func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionFalse })},
		"nor when it does not run":        {pod: ready(func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending })},
		"without the condition at all":    {pod: ready(func(p *corev1.Pod) { p.Status.Conditions = p.Status.Conditions[:1] }), want: true},
		"ready for long enough":           {pod: ready(), minReadySeconds: 10, want: true},
		"not ready for long enough":       {pod: ready(), minReadySeconds: 11},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, pods.Read(tc.pod).IsAvailable(tc.minReadySeconds, now))
		})
	}
	assert.Equal(t, 20*time.Second, pods.Read(ready()).AvailableIn(30, now))
}

func TestReadinessIsTheSameInEveryStateOfALife(t *testing.T) {
	for name, tc := range map[string]struct {
		pod                    *corev1.Pod
		wantReady, wantServing bool
	}{
		"a ready Pod serves":                          {pod: ready(), wantReady: true, wantServing: true},
		"in state Normal, too":                        {pod: ready(state(pub.LifecycleStateNormal)), wantReady: true, wantServing: true},
		"while it is new it is ready":                 {pod: ready(state(pub.LifecycleStatePreparingNormal)), wantReady: true},
		"while it waits for its update, too":          {pod: ready(state(pub.LifecycleStatePreparingUpdate)), wantReady: true},
		"while it waits to be taken in, too":          {pod: ready(state(pub.LifecycleStateUpdated)), wantReady: true},
		"while it waits for its deletion, too":        {pod: ready(state(pub.LifecycleStatePreparingDelete)), wantReady: true},
		"drained it is neither":                       {pod: ready(func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionFalse })},
		"without the condition Ready it is neither":   {pod: ready(func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })},
		"in another phase than Running it is neither": {pod: ready(func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending })},
	} {
		t.Run(name, func(t *testing.T) {
			f := pods.Read(tc.pod)
			assert.Equal(t, tc.wantReady, f.IsReady())
			assert.Equal(t, tc.wantServing, f.IsServing())
			assert.Equal(t, tc.wantServing, f.Problem() == "", "who does not serve has a reason")
		})
	}
}

func TestAnnotationsThatCannotBeReadAreTold(t *testing.T) {
	f := pods.Read(ready(func(p *corev1.Pod) {
		p.Annotations[pub.InPlaceUpdateStateKey] = "{"
		p.Annotations[pub.InPlaceUpdateStateKeyOld] = `{"revision":"web-1"}`
		p.Annotations[pub.InPlaceUpdateGraceKey] = "[]"
	}))
	assert.Equal(t, "web-1", f.InPlace.Revision, "the old key is read where the new one is broken")
	assert.Len(t, f.Broken, 2)
	assert.Empty(t, f.Grace)
}

func TestBuild(t *testing.T) {
	template := &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{
			Labels:      map[string]string{"app": "web", "x": "template"},
			Annotations: map[string]string{"a": "b", "argocd.argoproj.io/tracking-id": "t"},
			Finalizers:  []string{"example.com/f"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b", ImagePullPolicy: corev1.PullNever}}},
	}
	before := template.DeepCopy()
	pod := pods.Build(template, pods.Identity{Namespace: "ns", Name: "web-abcde", Labels: map[string]string{"x": "identity"}})
	assert.Equal(t, map[string]string{"app": "web", "x": "identity"}, pod.Labels)
	assert.Equal(t, map[string]string{"a": "b"}, pod.Annotations, "marks of GitOps tools stay behind")
	assert.Equal(t, template.Finalizers, pod.Finalizers)
	assert.Equal(t, corev1.PullAlways, pod.Spec.Containers[0].ImagePullPolicy)
	assert.Equal(t, corev1.PullNever, pod.Spec.Containers[1].ImagePullPolicy)
	assert.Equal(t, []corev1.PodReadinessGate{{ConditionType: pub.InPlaceUpdateReady}, {ConditionType: pub.KruisePodReady}}, pod.Spec.ReadinessGates)
	assert.Equal(t, before, template, "the template is left as it was")
}

func TestProblem(t *testing.T) {
	assert.Empty(t, pods.Read(ready()).Problem())
	waiting := ready(func(p *corev1.Pod) {
		p.Status.Conditions[0].Status = corev1.ConditionFalse
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
	})
	assert.Equal(t, "ImagePullBackOff", pods.Read(waiting).Problem())
}

func TestTheWaitOfAKubeletIsTold(t *testing.T) {
	for message, want := range map[string]string{
		"back-off 20s restarting failed container=main pod=web-1_default(4a5b)":   "CrashLoopBackOff: the kubelet waits 20 s before it restarts main",
		"back-off 2m40s restarting failed container=main pod=web-1_default(4a5b)": "CrashLoopBackOff: the kubelet waits 160 s before it restarts main",
		"back-off 20s restarting failed container=main":                           "CrashLoopBackOff: the kubelet waits 20 s before it restarts main",
		"back-off 20s restarting failed container= pod=web-1_default(4a5b)":       "CrashLoopBackOff",
		"back-off 20s restarting main":                                            "CrashLoopBackOff",
		"back-off soon restarting failed container=main pod=web-1_default(4a5b)":  "CrashLoopBackOff",
		"container=main waits 20s":                                                "CrashLoopBackOff",
		"back-off ":                                                               "CrashLoopBackOff",
		"":                                                                        "CrashLoopBackOff",
	} {
		waiting := corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: message}
		pod := ready(func(p *corev1.Pod) {
			p.Status.Conditions[0].Status = corev1.ConditionFalse
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Waiting: &waiting}}}
		})
		assert.Equal(t, want, pods.Read(pod).Problem(), "%q", message)
	}
}

func TestCompletionIsJudgedOnce(t *testing.T) {
	asked := 0
	judge := func(f *pods.Facts) plan.Verdict {
		asked++
		return plan.No("Waiting", "Pod %s", f.Pod.Name)
	}
	f := pods.Read(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-a"}})
	first := f.Completion(judge)
	assert.Equal(t, plan.No("Waiting", "Pod web-a"), first)
	assert.Equal(t, first, f.Completion(judge))
	assert.Equal(t, 1, asked)
}
