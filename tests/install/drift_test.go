// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/keelson/keelson/tests/support"
)

// aMinute is how long the controllers run before the last look for drift.
const aMinute = time.Minute

func TestNothingDrifts(t *testing.T) {
	support.Disrupt(t)
	s := support.BeginAlone(t)
	t.Cleanup(func() { require.NoError(t, support.Deploy(context.Background(), "default")) })
	for _, overlay := range []string{"all", "default"} {
		manifest, err := support.Render(t.Context(), overlay)
		require.NoError(t, err)
		for _, how := range [][]string{{"--server-side", "--field-manager=keelson-deploy"}, {}} {
			out, err := support.Kubectl(t.Context(), manifest, append([]string{"apply", "-f", "-"}, how...)...)
			require.NoError(t, err, out)
			requireNoDiff(t, manifest, overlay, how)
		}
		waitForRollout(s)
		requireNoDiff(t, manifest, overlay, nil)
		if overlay == "all" {
			requireMetrics(s)
		}
	}
	manifest, err := support.Render(t.Context(), "default")
	require.NoError(t, err)
	time.Sleep(aMinute)
	requireNoDiff(t, manifest, "default", nil)
	requireNoDiff(t, manifest, "default", []string{"--server-side", "--field-manager=keelson-deploy"})
}

func requireNoDiff(t *testing.T, manifest []byte, overlay string, how []string) {
	t.Helper()
	out, err := support.Kubectl(t.Context(), manifest, append([]string{"diff", "-f", "-"}, how...)...)
	assert.NoError(t, err, "overlay %s, %v: %s", overlay, how, out)
	assert.Empty(t, out, "overlay %s, %v", overlay, how)
}

// waitForRollout waits until what was applied runs.
func waitForRollout(s *support.Suite) {
	s.Helper()
	for _, name := range []string{"kruise-controller-manager", "kruise-webhook"} {
		s.Eventually(name+" runs", func() bool {
			d := &appsv1.Deployment{}
			err := s.Resources.Get(s.Context(), name, "kruise-system", d)
			return err == nil && d.Status.ObservedGeneration == d.Generation &&
				d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.AvailableReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas
		})
	}
}
