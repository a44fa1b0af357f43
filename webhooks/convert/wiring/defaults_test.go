// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package wiring_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// minimal says nothing that need not be said.
const minimal = `
apiVersion: apps.kruise.io/VERSION
kind: CloneSet
metadata: {namespace: default, name: NAME}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: web:v1}]
`

// written is one way to say how Pods are updated, and what each version shows of it.
type written struct {
	version, strategy string
	alpha, beta       string
}

const (
	flat    = `{type: ReCreate, partition: 0, maxUnavailable: 20%, maxSurge: 0}`
	rolling = `{type: RollingUpdate, rollingUpdate: {partition: 0, maxUnavailable: 20%, maxSurge: 0, podUpdatePolicy: ReCreate}}`
)

func strategies() map[string]written {
	return map[string]written{
		"nothing in v1beta1":            {version: "v1beta1", alpha: flat, beta: rolling},
		"nothing in v1alpha1":           {version: "v1alpha1", alpha: flat, beta: rolling},
		"an empty strategy in v1alpha1": {version: "v1alpha1", strategy: `{}`, alpha: flat, beta: rolling},
		"empty settings in v1beta1":     {version: "v1beta1", strategy: `{rollingUpdate: {}}`, alpha: flat, beta: rolling},
		"a policy in v1beta1": {
			version: "v1beta1", strategy: `{rollingUpdate: {podUpdatePolicy: InPlaceIfPossible, partition: 50%}}`,
			alpha: `{type: InPlaceIfPossible, partition: 50%, maxUnavailable: 20%, maxSurge: 0}`,
			beta:  `{type: RollingUpdate, rollingUpdate: {partition: 50%, maxUnavailable: 20%, maxSurge: 0, podUpdatePolicy: InPlaceIfPossible}}`,
		},
		"a policy in v1alpha1": {
			version: "v1alpha1", strategy: `{type: InPlaceOnly, maxUnavailable: 1}`,
			alpha: `{type: InPlaceOnly, partition: 0, maxUnavailable: 1, maxSurge: 0}`,
			beta:  `{type: RollingUpdate, rollingUpdate: {partition: 0, maxUnavailable: 1, maxSurge: 0, podUpdatePolicy: InPlaceOnly}}`,
		},
		"OnDelete in v1beta1": {
			version: "v1beta1", strategy: `{type: OnDelete}`,
			alpha: `{type: OnDelete, partition: 0, maxUnavailable: 20%, maxSurge: 0}`, beta: `{type: OnDelete}`,
		},
		"OnDelete in v1alpha1": {
			version: "v1alpha1", strategy: `{type: OnDelete}`,
			alpha: `{type: OnDelete, partition: 0, maxUnavailable: 20%, maxSurge: 0}`, beta: `{type: OnDelete}`,
		},
		"OnDelete with settings in v1beta1": {
			version: "v1beta1", strategy: `{type: OnDelete, rollingUpdate: {partition: 3}}`,
			alpha: `{type: OnDelete, partition: 3, maxUnavailable: 20%, maxSurge: 0}`,
			beta:  `{type: OnDelete, rollingUpdate: {partition: 3, maxUnavailable: 20%, maxSurge: 0, podUpdatePolicy: ReCreate}}`,
		},
		// A schema cannot default by what another field says.
		"the type alone in v1beta1": {version: "v1beta1", strategy: `{type: RollingUpdate}`, alpha: `{}`, beta: `{type: RollingUpdate}`},
	}
}

func (w written) manifest(name string) string {
	text := strings.NewReplacer("VERSION", w.version, "NAME", name).Replace(minimal)
	if w.strategy != "" {
		text += "  updateStrategy: " + w.strategy + "\n"
	}
	return text
}

func fields(t *testing.T, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	require.NoError(t, obj.UnmarshalJSON([]byte(`{"apiVersion":"v1","kind":"Any","it":`+string(raw)+`}`)))
	return obj.Object["it"].(map[string]any)
}

// Whatever was written, both versions show the same defaults, nothing had to be kept in an annotation, and Pods and claims are as they were written.
func TestDefaultsAreSeenInBothVersions(t *testing.T) {
	c := newClient(t)
	count := 0
	for name, w := range strategies() {
		t.Run(name, func(t *testing.T) {
			count++
			object := "defaults-" + string(rune('a'+count))
			obj := read(t, w.manifest(object), object)
			template := obj.DeepCopy().Object["spec"].(map[string]any)["template"]
			claims := []any{map[string]any{"metadata": map[string]any{"name": "data"}}}
			require.NoError(t, unstructured.SetNestedSlice(obj.Object, claims, "spec", "volumeClaimTemplates"))
			require.NoError(t, c.Create(t.Context(), obj))

			reuse := map[string]map[string]any{"v1alpha1": {"disablePVCReuse": w.version == "v1beta1"}, "v1beta1": {"enablePVCReuse": w.version == "v1alpha1"}}
			for version, want := range map[string]string{"v1alpha1": w.alpha, "v1beta1": w.beta} {
				got := get(t, c, version, object)
				assert.Empty(t, got.GetAnnotations(), version)
				spec := got.Object["spec"].(map[string]any)
				assert.Equal(t, template, spec["template"], version)
				assert.Equal(t, claims, spec["volumeClaimTemplates"], version)
				for _, field := range []string{"template", "volumeClaimTemplates", "selector"} {
					delete(spec, field)
				}
				assert.Equal(t, map[string]any{
					"replicas": int64(1), "revisionHistoryLimit": int64(10), "scaleStrategy": reuse[version], "updateStrategy": fields(t, want),
				}, spec, version)
				assert.Equal(t, fields(t, `{observedGeneration: -1, replicas: 0, readyReplicas: 0, availableReplicas: 0, updatedReplicas: 0,
				  updatedReadyReplicas: 0, updatedAvailableReplicas: 0, expectedUpdatedReplicas: 0, collisionCount: 0}`), got.Object["status"], version)
			}
		})
	}
}

// Git tools ask again and again whether what they applied is still there.
func TestKubectlFindsNoDifference(t *testing.T) {
	c := newClient(t)
	user, err := environment.AddUser(envtest.User{Name: "git", Groups: []string{"system:masters"}}, server)
	require.NoError(t, err)
	kubectl := func(arguments ...string) {
		t.Helper()
		command, err := user.Kubectl()
		require.NoError(t, err)
		output, err := exec.Command(command.Path, append(command.Opts, arguments...)...).CombinedOutput()
		require.NoError(t, err, "kubectl %v: %s", arguments, output)
	}
	for how, flags := range map[string][]string{"client": {}, "server": {"--server-side"}} {
		var all, names []string
		count := 0
		for _, w := range strategies() {
			count++
			names = append(names, "diff-"+how+"-"+string(rune('a'+count)))
			all = append(all, w.manifest(names[len(names)-1]))
		}
		file := filepath.Join(t.TempDir(), "all.yaml")
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(all, "---")), 0o600))
		kubectl(append([]string{"apply", "-f", file}, flags...)...)
		kubectl(append([]string{"diff", "-f", file}, flags...)...)
		for _, name := range names {
			for _, version := range []string{"v1alpha1", "v1beta1"} {
				obj := get(t, c, version, name)
				obj.SetLabels(map[string]string{"written-in": version})
				require.NoError(t, c.Update(t.Context(), obj, client.FieldOwner("somebody")))
			}
		}
		kubectl(append([]string{"diff", "-f", file}, flags...)...)
		kubectl(append([]string{"apply", "-f", file}, flags...)...)
		kubectl(append([]string{"diff", "-f", file}, flags...)...)
	}
}

func TestAFileThatChangesItsVersionIsApplied(t *testing.T) {
	c := newClient(t)
	apply := func(text string) map[string]any {
		obj := read(t, text, "moved")
		require.NoError(t, c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner("git")))
		return get(t, c, "v1beta1", "moved").Object["spec"].(map[string]any)["updateStrategy"].(map[string]any)
	}
	alpha := written{version: "v1alpha1", strategy: `{type: InPlaceIfPossible, partition: 3}`}.manifest("moved")
	beta := written{version: "v1beta1", strategy: `{rollingUpdate: {podUpdatePolicy: InPlaceIfPossible, partition: 3}}`}.manifest("moved")
	want := fields(t, `{type: RollingUpdate, rollingUpdate: {partition: 3, maxUnavailable: 20%, maxSurge: 0, podUpdatePolicy: InPlaceIfPossible}}`)
	for _, text := range []string{alpha, beta, alpha, beta} {
		assert.Equal(t, want, apply(text))
	}
	plain := written{version: "v1beta1"}.manifest("moved")
	assert.Equal(t, fields(t, rolling), apply(plain), "what the file does not say any more is the default again")
}
