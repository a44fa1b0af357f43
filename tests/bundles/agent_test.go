// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package bundles_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// renderAgent renders the bundle of the node agent with components.
func renderAgent(t *testing.T, components ...string) (corev1.PodSpec, rbacv1.ClusterRole) {
	t.Helper()
	dir := t.TempDir()
	from := func(path string) string {
		target, err := filepath.Abs(filepath.Join(root, "bundles", "nodeagent", path))
		require.NoError(t, err)
		relative, err := filepath.Rel(dir, target)
		require.NoError(t, err)
		return relative
	}
	for i := range components {
		components[i] = from(components[i])
	}
	raw, err := yaml.Marshal(map[string][]string{"resources": {from("")}, "components": components})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), raw, 0o600))
	var pod corev1.PodSpec
	var role rbacv1.ClusterRole
	for _, r := range render(t, dir).Resources() {
		switch r.GetKind() {
		case "DaemonSet":
			pod = decode[appsv1.DaemonSet](t, r).Spec.Template.Spec
		case "ClusterRole":
			role = *decode[rbacv1.ClusterRole](t, r)
		}
	}
	return pod, role
}

func TestTheNodeAgentReadsAsItsNodeUnlessAComponentSaysOtherwise(t *testing.T) {
	rights := func(role rbacv1.ClusterRole) map[string]bool {
		all := map[string]bool{}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				add(all, group, rule.Resources, rule.Verbs)
			}
		}
		return all
	}
	pod, role := renderAgent(t)
	assert.NotContains(t, pod.Containers[0].Args, "--read-as-node=false")
	assert.Equal(t, map[string]bool{
		"impersonate:associated-node authentication.k8s.io/nodes": true,
		"impersonate-on:associated-node:list /pods":               true,
		"impersonate-on:associated-node:watch /pods":              true,
		"patch /pods/status":                                      true,
	}, rights(role))
	pod, role = renderAgent(t, "read-all-pods")
	assert.Contains(t, pod.Containers[0].Args, "--read-as-node=false")
	assert.Equal(t, map[string]bool{"list /pods": true, "watch /pods": true, "patch /pods/status": true}, rights(role))
}

func TestTheNodeAgentMountsTheFolderOfItsRuntime(t *testing.T) {
	for name, tc := range map[string]struct {
		components []string
		want       string
	}{
		"containerd":                     {want: "/run/containerd"},
		"CRI-O":                          {components: []string{"crio"}, want: "/run/crio"},
		"CRI-O on a cluster before 1.36": {components: []string{"crio", "read-all-pods"}, want: "/run/crio"},
		"the same, in whatever order":    {components: []string{"read-all-pods", "crio"}, want: "/run/crio"},
		"containerd on one before 1.36":  {components: []string{"read-all-pods"}, want: "/run/containerd"},
	} {
		t.Run(name, func(t *testing.T) {
			pod, _ := renderAgent(t, tc.components...)
			require.Len(t, hostPaths(pod), 1)
			assert.Equal(t, tc.want, hostPaths(pod)[0].HostPath.Path)
			assert.Equal(t, tc.want, pod.Containers[0].VolumeMounts[1].MountPath)
		})
	}
}
