// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/keelson/keelson/tests/support"
)

// duringARollout begins a slow rollout of five Pods, disrupts it, and checks that it goes on to its end without losing a Pod.
func duringARollout(t *testing.T, disrupt func(*support.Suite)) {
	t.Helper()
	support.Disrupt(t)
	s := support.BeginAlone(t)
	s.Create(support.MakeCloneSet("web").Replicas(5).MaxUnavailable("1").GracePeriod(1).Obj())
	s.WaitReady("web")
	before := s.Pods(web)
	witness := s.Watch(web)
	s.SetImage("web", support.ImageV2)
	s.Eventually("the rollout is in its middle", func() bool { return s.CloneSet("web").Status.UpdatedReplicas >= 2 })
	disrupt(s)
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(5))
	after := s.Pods(web)
	support.RequireSamePods(t, before, after)
	for name, pod := range after {
		assert.EqualValues(t, 1, support.Restarts(pod, "main"), "restarts of %s", name)
	}
	assert.GreaterOrEqual(t, witness.Least(), 4)
}

func TestTheControllersMayBeKilledInARollout(t *testing.T) {
	duringARollout(t, func(s *support.Suite) {
		for range 3 {
			killControllers(s)
			s.Eventually("new controllers are there", func() bool {
				pods, err := controllers(s)
				return err == nil && slices.ContainsFunc(pods, support.IsReady)
			})
		}
	})
}

// killControllers deletes all Pods of the controllers without grace: the kubelets send SIGKILL.
func killControllers(s *support.Suite) {
	s.Helper()
	pods, err := controllers(s)
	require.NoError(s, err)
	require.NotEmpty(s, pods)
	for i := range pods {
		require.NoError(s, s.Resources.Delete(s.Context(), &pods[i], resources.WithGracePeriod(0)))
	}
}

// controllers are the Pods of the controllers.
func controllers(s *support.Suite) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := s.Resources.WithNamespace("kruise-system").List(s.Context(), &list, resources.WithLabelSelector("control-plane=controller-manager"))
	return list.Items, err
}

func TestTheAPIServerMayRestartInARollout(t *testing.T) {
	duringARollout(t, func(s *support.Suite) {
		require.NoError(s, support.RestartAPIServer(context.WithoutCancel(s.Context())))
	})
}
