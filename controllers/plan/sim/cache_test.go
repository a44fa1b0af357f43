// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keelson/keelson/controllers/plan/sim"
)

func TestCaches(t *testing.T) {
	podKind, claimKind := schema.GroupKind{Kind: "Pod"}, schema.GroupKind{Kind: "PersistentVolumeClaim"}
	shown := func(c *sim.Caches) []string {
		all := []string{}
		for _, pod := range c.Pods() {
			all = append(all, pod.Name)
		}
		return all
	}
	t.Run("a cache shows what it has taken in, and no more", func(t *testing.T) {
		w := sim.NewWorld()
		c := sim.NewCaches(w)
		perform(t, w, create(makePod("toy-a", "app:v1")))
		c.Record()
		perform(t, w, create(makePod("toy-b", "app:v1")))
		assert.Empty(t, shown(c))
		assert.Empty(t, c.Version(podKind))
		require.Len(t, c.Show(podKind, 1), 1)
		assert.Equal(t, []string{"toy-a"}, shown(c))
		assert.Equal(t, w.Pod("toy-a").ResourceVersion, c.Version(podKind))
		require.Len(t, c.Show(podKind, 9), 1)
		assert.Equal(t, []string{"toy-a", "toy-b"}, shown(c))
		assert.Equal(t, w.Version(), c.Version(podKind))
	})
	t.Run("each kind lags for itself, and one in which nothing happens learns how far the world is", func(t *testing.T) {
		w := sim.NewWorld()
		c := sim.NewCaches(w)
		perform(t, w, create(makePod("toy-a", "app:v1")))
		assert.Empty(t, c.Show(claimKind, 9))
		assert.Equal(t, w.Version(), c.Version(claimKind))
		assert.Empty(t, c.Version(podKind))
	})
	t.Run("a Pod that took the name of another comes after its end", func(t *testing.T) {
		w := sim.NewWorld()
		perform(t, w, create(makePod("toy-a", "app:v1")))
		c := sim.NewCaches(w)
		was := w.Pod("toy-a")
		perform(t, w, remove(was))
		perform(t, w, create(makePod("toy-a", "app:v2")))
		events := c.Show(podKind, 9)
		require.Len(t, events, 2)
		assert.True(t, events[0].Removed)
		assert.Equal(t, was.UID, events[0].Object.GetUID())
		assert.Equal(t, "app:v2", c.Pods()[0].Spec.Containers[0].Image)
	})
	t.Run("what was not shown yet is what was, not what is", func(t *testing.T) {
		w := sim.NewWorld()
		perform(t, w, create(makePod("toy-a", "app:v1")))
		c := sim.NewCaches(w)
		w.Edit("toy-a", func(p *corev1.Pod) { p.Labels["new"] = "yes" })
		assert.NotContains(t, c.Pods()[0].Labels, "new")
		c.Show(podKind, 1)
		assert.Contains(t, c.Pods()[0].Labels, "new")
	})
}
