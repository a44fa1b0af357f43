// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestEverybodyLivesOnWithoutUs(t *testing.T) {
	support.Disrupt(t)
	s := support.BeginAlone(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).Obj())
	s.WaitReady("web")
	stop(t, s)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: s.Namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: support.ImageSleeper}}},
	}
	require.NoError(t, s.Resources.Create(ctx, pod), "Pods can be created")
	require.NoError(t, s.Resources.Delete(ctx, pod), "and deleted")
	for name := range s.Pods("app=web") {
		require.NoError(t, s.Resources.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace}}), "ours too")
	}
	set := &kruisev1beta1.CloneSet{}
	require.NoError(t, s.Resources.Get(ctx, "web", s.Namespace, set), "CloneSets can be read")
	s.Patch(set, "web", `{"spec":{"replicas":2}}`)
	require.NoError(t, s.Resources.Create(ctx, func() *kruisev1beta1.CloneSet {
		other := support.MakeCloneSet("other").Replicas(1).Obj()
		other.Namespace = s.Namespace
		return other
	}()), "and created, on the word of their schema")
	invalid := support.MakeCloneSet("invalid").MaxUnavailable("120%x").Obj()
	invalid.Namespace = s.Namespace
	err := s.Resources.Create(ctx, invalid)
	require.True(t, apierrors.IsInvalid(err), "which still refuses: %v", err)
	require.ErrorContains(t, err, "spec.updateStrategy.rollingUpdate.maxUnavailable")

	// A client of the old version needs the conversion: it is told so at once, and does not hang.
	err = s.Resources.Get(ctx, "web", s.Namespace, &kruisev1alpha1.CloneSet{})
	require.ErrorContains(t, err, "conversion webhook")
	require.NoError(t, ctx.Err(), "all of this was answered")
}

// stop scales all three programs to nothing, and back when the test ends.
func stop(t *testing.T, s *support.Suite) {
	t.Helper()
	t.Cleanup(func() {
		require.NoError(t, support.Deploy(context.Background(), "default"))
		out, err := support.Kubectl(context.Background(), nil, "-n", "kruise-system", "scale", "deployment", "--all", "--replicas=2")
		require.NoError(t, err, out)
		out, err = support.Kubectl(context.Background(), nil, "-n", "kruise-system", "patch", "daemonset", "kruise-daemon", "--type=json",
			"-p", `[{"op":"remove","path":"/spec/template/spec/nodeSelector"}]`)
		require.NoError(t, err, out)
		out, err = support.Kubectl(context.Background(), nil, "-n", "kruise-system", "rollout", "status", "deployment/kruise-webhook", "--timeout=120s")
		require.NoError(t, err, out)
	})
	out, err := support.Kubectl(t.Context(), nil, "-n", "kruise-system", "scale", "deployment", "--all", "--replicas=0")
	require.NoError(t, err, out)
	out, err = support.Kubectl(t.Context(), nil, "-n", "kruise-system", "patch", "daemonset", "kruise-daemon", "--type=merge",
		"-p", `{"spec":{"template":{"spec":{"nodeSelector":{"no-such":"node"}}}}}`)
	require.NoError(t, err, out)
	s.Eventually("all programs are gone", func() bool {
		var list corev1.PodList
		if err := s.Resources.WithNamespace("kruise-system").List(t.Context(), &list); err != nil {
			return false
		}
		return len(list.Items) == 0
	})
	s.Eventually("nobody answers for the webhooks", func() bool {
		d := &appsv1.Deployment{}
		return s.Resources.Get(t.Context(), "kruise-webhook", "kruise-system", d) == nil && d.Status.Replicas == 0
	})
}
