// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bundles_test renders every overlay, and checks what it would bring into a cluster.
package bundles_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/keelson/keelson/api/gates"
)

const root = "../.."

// overlays are the names of all overlays.
func overlays(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(root, "overlays", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	return dirs
}

// rendered holds what was rendered already: it takes a second, and nobody changes it.
var rendered sync.Map

func render(t *testing.T, dir string) resmap.ResMap {
	t.Helper()
	if known, isThere := rendered.Load(dir); isThere {
		return known.(resmap.ResMap)
	}
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	require.NoError(t, err)
	rendered.Store(dir, m)
	return m
}

func decode[T any](t *testing.T, r *resource.Resource) *T {
	t.Helper()
	raw, err := r.AsYAML()
	require.NoError(t, err)
	out := new(T)
	require.NoError(t, yaml.UnmarshalStrict(raw, out), "%s %s", r.GetKind(), r.GetName())
	return out
}

func forEach(t *testing.T, check func(t *testing.T, m resmap.ResMap)) {
	t.Helper()
	for _, dir := range overlays(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) { check(t, render(t, dir)) })
	}
}

func TestEveryOverlayRendersWithoutAWarning(t *testing.T) {
	kustomize, err := exec.Command(filepath.Join(root, ".ci", "tool"), "kustomize").Output()
	require.NoError(t, err)
	for _, dir := range append(overlays(t), renamed, "testdata/monitored") {
		var complaint bytes.Buffer
		cmd := exec.Command(strings.TrimSpace(string(kustomize)), "build", dir)
		cmd.Stderr = &complaint
		require.NoError(t, cmd.Run(), complaint.String())
		assert.Empty(t, complaint.String(), dir)
	}
}

func TestNamesAreThePublishedOnes(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		var got []string
		for _, r := range m.Resources() {
			got = append(got, r.GetKind()+" "+r.GetNamespace()+"/"+r.GetName())
		}
		for _, want := range []string{
			"Namespace /kruise-system",
			"CustomResourceDefinition /clonesets.apps.kruise.io",
			"Deployment kruise-system/kruise-controller-manager",
			"Deployment kruise-system/kruise-webhook",
			"DaemonSet kruise-system/kruise-daemon",
			"Service kruise-system/kruise-webhook-service",
			"ServiceAccount kruise-system/kruise-manager",
			"ServiceAccount kruise-system/kruise-webhook",
			"ServiceAccount kruise-system/kruise-daemon",
			"ValidatingWebhookConfiguration /kruise-validating-webhook-configuration",
		} {
			assert.Contains(t, got, want)
		}
	})
}

func TestGatesExistAndAgree(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		name := ""
		for _, r := range m.Resources() {
			if r.GetKind() != "ConfigMap" || !strings.HasPrefix(r.GetName(), "kruise-feature-gates-") {
				continue
			}
			name = r.GetName()
			settings := map[string]bool{}
			for gate, text := range decode[corev1.ConfigMap](t, r).Data {
				value, err := strconv.ParseBool(text)
				require.NoError(t, err, gate)
				settings[gate] = value
			}
			_, err := gates.Resolve(settings)
			require.NoError(t, err)
			for _, g := range gates.All() {
				if value, isSaid := settings[string(g.Name)]; g.Class == gates.Unbuilt && g.Default {
					assert.True(t, isSaid && !value, "%s is published as on and not built: whoever reads the gates is told that it is off", g.Name)
				}
			}
		}
		require.NotEmpty(t, name, "the ConfigMap of the gates carries the hash of its content in its name")
		for _, pod := range podSpecs(t, m) {
			assert.True(t, slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == name }),
				"every program mounts the gates under the name with the hash, so that a changed gate rolls it")
		}
	})
}

func podSpecs(t *testing.T, m resmap.ResMap) map[string]corev1.PodSpec {
	t.Helper()
	specs := map[string]corev1.PodSpec{}
	for _, r := range m.Resources() {
		switch r.GetKind() {
		case "Deployment":
			specs[r.GetName()] = decode[appsv1.Deployment](t, r).Spec.Template.Spec
		case "DaemonSet":
			specs[r.GetName()] = decode[appsv1.DaemonSet](t, r).Spec.Template.Spec
		}
	}
	require.Len(t, specs, 3)
	return specs
}

func TestProgramsRunWithTheLeastPrivilege(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		for name, pod := range podSpecs(t, m) {
			assert.False(t, pod.HostNetwork || pod.HostPID || pod.HostIPC, name)
			require.NotNil(t, pod.SecurityContext, name)
			require.NotNil(t, pod.SecurityContext.SeccompProfile, name)
			assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type, name)
			for _, c := range pod.Containers {
				require.NotNil(t, c.SecurityContext, name)
				assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, name)
				assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation, name)
				assert.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, name)
				assert.Empty(t, c.SecurityContext.Capabilities.Add, name)
				assert.NotNil(t, c.LivenessProbe, name)
				assert.NotNil(t, c.ReadinessProbe, name)
				assert.NotEmpty(t, c.Resources.Requests, name)
			}
			if name == "kruise-daemon" {
				assert.Equal(t, 1, len(hostPaths(pod)), "the agent mounts the folder of the socket and nothing else of its node")
				continue
			}
			assert.True(t, *pod.SecurityContext.RunAsNonRoot, name)
			assert.Empty(t, hostPaths(pod), name)
		}
	})
}

func hostPaths(pod corev1.PodSpec) []corev1.Volume {
	return slices.DeleteFunc(slices.Clone(pod.Volumes), func(v corev1.Volume) bool { return v.HostPath == nil })
}

func TestImagesAreOursAndNothingElse(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(root, ".ko.yaml"))
	require.NoError(t, err)
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		for name, pod := range podSpecs(t, m) {
			for _, c := range pod.Containers {
				program, isOurs := strings.CutPrefix(c.Image, "ko://github.com/keelson/keelson/")
				require.True(t, isOurs, "%s: %s", name, c.Image)
				assert.FileExists(t, filepath.Join(root, program, "main.go"))
				assert.Contains(t, string(config), "main: ./"+program)
			}
		}
	})
}

func TestRulesNameWhatTheyAllow(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		for _, r := range m.Resources() {
			if r.GetKind() != "ClusterRole" && r.GetKind() != "Role" {
				continue
			}
			for _, rule := range decode[rbacv1.ClusterRole](t, r).Rules {
				where := r.GetKind() + " " + r.GetName()
				for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
					assert.NotContains(t, list, "*", where)
				}
				if slices.Contains(rule.Resources, "secrets") {
					assert.Equal(t, "Role", r.GetKind(), "%s: Secrets are read in our own namespace only", where)
					assert.NotEmpty(t, rule.ResourceNames, "%s: and by name", where)
				}
				if slices.ContainsFunc(rule.Resources, func(s string) bool {
					return s == "customresourcedefinitions" || strings.HasSuffix(s, "webhookconfigurations")
				}) && !slices.Equal(rule.Verbs, []string{"list", "watch"}) {
					assert.NotEmpty(t, rule.ResourceNames, "%s: these are changed by name only", where)
					assert.NotContains(t, rule.Verbs, "get", "%s: they are seen by list and watch", where)
				}
			}
		}
	})
}

func TestCRDsAreSmall(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "bundles", "crd", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		assert.Less(t, info.Size(), int64(200<<10), f)
	}
}

// marker is a line of a controller that says what it needs.
var marker = regexp.MustCompile(`(?m)^// \+kubebuilder:rbac:groups=([^,]*),resources=([^,]*),verbs=(\S+)$`)

func TestTheControllersMayDoWhatTheirMarkersAskForAndNoMore(t *testing.T) {
	asked := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root, "controllers", "*", "controller.go"))
	require.NoError(t, err)
	for _, f := range files {
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, found := range marker.FindAllStringSubmatch(string(source), -1) {
			add(asked, strings.Trim(found[1], `"`), strings.Split(found[2], ";"), strings.Split(found[3], ";"))
		}
	}
	require.NotEmpty(t, asked)
	granted := map[string]bool{}
	for _, r := range render(t, filepath.Join(root, "overlays", "default")).Resources() {
		if r.GetKind() == "ClusterRole" && r.GetName() == "kruise-manager-role" {
			for _, rule := range decode[rbacv1.ClusterRole](t, r).Rules {
				for _, group := range rule.APIGroups {
					add(granted, group, rule.Resources, rule.Verbs)
				}
			}
		}
	}
	assert.Equal(t, asked, granted)
}

func add(to map[string]bool, group string, resources, verbs []string) {
	for _, r := range resources {
		for _, v := range verbs {
			to[v+" "+group+"/"+r] = true
		}
	}
}

func TestPodsAreResizedOnlyWhereTheGateIsOn(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		settings, granted := map[string]bool{}, map[string]bool{}
		for _, r := range m.Resources() {
			switch {
			case r.GetKind() == "ConfigMap" && strings.HasPrefix(r.GetName(), "kruise-feature-gates-"):
				for gate, text := range decode[corev1.ConfigMap](t, r).Data {
					settings[gate] = text == "true"
				}
			case r.GetKind() == "ClusterRole":
				for _, rule := range decode[rbacv1.ClusterRole](t, r).Rules {
					if slices.Contains(rule.Resources, "pods/resize") {
						add(granted, r.GetName(), rule.Resources, rule.Verbs)
					}
				}
			}
		}
		set, err := gates.Resolve(settings)
		require.NoError(t, err)
		want := map[string]bool{}
		if set.Enabled(gates.InPlaceWorkloadVerticalScaling) {
			want["patch kruise-manager-resize-role/pods/resize"] = true
		}
		assert.Equal(t, want, granted)
	})
}
