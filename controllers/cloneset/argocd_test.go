// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
	"github.com/keelson/keelson/webhooks/convert"
)

// argoRules say what Argo CD makes of a CloneSet when nobody has configured it: its rules, first match first, in words of our own. It has one set of them for all
// versions, and they look for the settings where v1alpha1 has them. An index into nothing is an error there, and an error stops every sync of the Application.
const argoRules = `
local want, is = obj.spec.updateStrategy, obj.status
if is == nil or is.observedGeneration ~= obj.metadata.generation then return "Progressing" end
if want.paused or is.updatedAvailableReplicas == nil then return "Suspended" end
if obj.metadata.generation > 1 and want.partition ~= 0 then
  if is.updatedReplicas >= is.expectedUpdatedReplicas then return "Suspended" end
  return "Progressing"
end
if is.updatedAvailableReplicas == is.replicas then return "Healthy" end
return "Degraded"
`

// argoCase is a CloneSet at a moment of its life.
type argoCase struct {
	set  *builder
	play func(s *stage)
	// right is what its user would call it; alpha and beta are what the rules make of it in the two versions, where that is something else.
	right, alpha, beta string
}

// What differs from right is told in docs/compatibility.md.
func TestWhatArgoCDMakesOfACloneSetWithoutConfiguration(t *testing.T) {
	ten := func() *builder { return MakeCloneSet("web").Replicas(10).MaxUnavailable("1").Deadline(60) }
	v2 := func(b *builder) { b.Image("app:v2") }
	for moment, tc := range map[string]argoCase{
		"that nobody has seen yet is progressing": {set: ten(), play: func(*stage) {}, right: "Progressing"},
		"that has no Pods yet is healthy for a moment": {
			set: ten(), play: (*stage).once, right: "Progressing", alpha: "Healthy", beta: "Healthy",
		},
		"that is created is degraded": {
			set: ten(), play: func(s *stage) { s.until(s.has(10, 0)) }, right: "Progressing", alpha: "Degraded", beta: "Degraded",
		},
		"that was created is healthy": {set: ten(), play: func(s *stage) { s.Rest() }, right: "Healthy"},
		"that is at 3 of 10 Pods is degraded in v1alpha1": {
			set: ten(), play: func(s *stage) { s.edit(v2); s.until(s.has(10, 3)) }, right: "Progressing", alpha: "Degraded",
		},
		"that is updated is suspended in v1beta1": {
			set: ten(), play: func(s *stage) { s.edit(v2); s.Rest() }, right: "Healthy", beta: "Suspended",
		},
		"that is scaled to nothing is suspended in v1beta1": {
			set: ten(), play: func(s *stage) { s.edit(func(b *builder) { b.Replicas(0) }); s.Rest() }, right: "Healthy", beta: "Suspended",
		},
		"that is on its way to its partition is progressing": {
			set: ten().Partition("5"), play: func(s *stage) { s.edit(v2); s.until(s.has(10, 3)) }, right: "Progressing",
		},
		"that has reached its partition is suspended": {
			set: ten().Partition("5"), play: func(s *stage) { s.edit(v2); s.Rest() }, right: "Suspended",
		},
		"whose partition is reached by Pods that do not run is suspended": {
			set: ten().Partition("9"), right: "Degraded", alpha: "Suspended", beta: "Suspended",
			play: func(s *stage) { s.edit(func(b *builder) { b.Image("app:gone") }); s.Rest() },
		},
		"whose partition was taken out of its spec, and that is updated, is suspended in v1beta1": {
			set: ten().Partition("5"), right: "Healthy", beta: "Suspended",
			play: func(s *stage) {
				s.edit(v2)
				s.Rest()
				s.edit(func(b *builder) { b.rolling().Partition = nil })
				s.Rest()
			},
		},
		"whose partition is no Pod, but by percentage, is suspended": {
			set: ten().Partition("0%"), play: func(s *stage) { s.edit(v2); s.Rest() }, right: "Healthy", alpha: "Suspended", beta: "Suspended",
		},
		"that is paused half-way is progressing in v1beta1": {
			set: ten(), right: "Suspended", beta: "Progressing",
			play: func(s *stage) {
				s.edit(v2)
				s.until(s.has(10, 3))
				s.edit(func(b *builder) { b.rolling().Paused = true })
				s.Rest()
			},
		},
		"that waits for its old Pods to be deleted is degraded in v1alpha1, and progressing in v1beta1": {
			set: ten().OnDelete(), play: func(s *stage) { s.edit(v2); s.Rest() }, right: "Healthy", alpha: "Degraded", beta: "Progressing",
		},
		"that was created to wait for deletions is healthy": {set: ten().OnDelete(), play: func(s *stage) { s.Rest() }, right: "Healthy"},
		"past its deadline is progressing in v1beta1": {
			set: ten(), right: "Degraded", beta: "Progressing",
			play: func(s *stage) { s.edit(func(b *builder) { b.Image("app:gone") }); s.Rest() },
		},
		"whose generation nobody has seen yet is progressing": {
			set: ten(), play: func(s *stage) { s.Rest(); s.edit(v2) }, right: "Progressing",
		},
	} {
		t.Run("a CloneSet "+moment, func(t *testing.T) {
			s := newStage(t, tc.set.Obj())
			s.Images["app:gone"] = sim.Image{Missing: true}
			s.controller.set.Status = firstStatus(t)
			tc.play(s)
			for version, want := range map[string]string{"v1alpha1": tc.alpha, "v1beta1": tc.beta} {
				if want == "" {
					want = tc.right
				}
				got, err := argoSays(t, s.served(version))
				require.NoError(t, err)
				assert.Equal(t, want, got, version)
			}
		})
	}
}

// OnDelete makes Pods wait for somebody who deletes them, and has no settings of a rolling update.
func (b *builder) OnDelete() *builder {
	return b.with(func() { b.set.Spec.UpdateStrategy.Type = kruisev1beta1.OnDeleteCloneSetUpdateStrategyType })
}

// once is a single pass.
func (s *stage) once() { s.Reconcile() }

// edit brings the set to rest if it is new, and changes its spec.
func (s *stage) edit(change func(b *builder)) {
	s.t.Helper()
	if s.controller.set.Generation == 1 {
		s.Rest()
	}
	s.User("edits", change)
}

// has says when the status counts so many Pods, and so many of them updated and available.
func (s *stage) has(replicas, available int32) func() bool {
	return func() bool {
		status := s.controller.set.Status
		return status.ObservedGeneration == s.controller.set.Generation && status.Replicas == replicas && status.UpdatedAvailableReplicas == available
	}
}

// until goes on step by step.
func (s *stage) until(is func() bool) {
	s.t.Helper()
	for range turns {
		if s.Reconcile(); is() {
			return
		}
		s.takeAny()
	}
	require.Fail(s.t, "it never comes to that", "%+v", s.controller.set.Status)
}

// served is the set as the API server shows it in a version.
func (s *stage) served(version string) map[string]any {
	s.t.Helper()
	raw, err := json.Marshal(s.controller.set)
	require.NoError(s.t, err)
	obj := map[string]any{}
	require.NoError(s.t, utiljson.Unmarshal(raw, &obj))
	obj["apiVersion"], obj["kind"] = kruisev1beta1.GroupVersion.String(), "CloneSet"
	writeDefaults(obj, schemaOf(s.t, "v1beta1"))
	require.NoError(s.t, convert.CloneSet(s.t.Context(), obj, "apps.kruise.io/"+version))
	return obj
}

// firstStatus is that of a set that nobody has seen.
func firstStatus(t *testing.T) kruisev1beta1.CloneSetStatus {
	t.Helper()
	obj := map[string]any{}
	writeDefaults(obj, schemaOf(t, "v1beta1"))
	status := kruisev1beta1.CloneSetStatus{}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(obj["status"].(map[string]any), &status))
	return status
}

// schemaOf is the shipped schema of a version.
func schemaOf(t *testing.T, version string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../bundles/crd/apps.kruise.io_clonesets.yaml")
	require.NoError(t, err)
	raw, err := yaml.YAMLToJSON(text)
	require.NoError(t, err)
	crd := map[string]any{}
	require.NoError(t, utiljson.Unmarshal(raw, &crd))
	for _, v := range crd["spec"].(map[string]any)["versions"].([]any) {
		if v := v.(map[string]any); v["name"] == version {
			return v["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
		}
	}
	require.Fail(t, "there is no such version", version)
	return nil
}

// writeDefaults does what the API server does with the defaults of a schema.
func writeDefaults(obj, schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		property := p.(map[string]any)
		if value, hasDefault := property["default"]; hasDefault && obj[name] == nil {
			obj[name] = runtime.DeepCopyJSONValue(value)
		}
		if deeper, isMap := obj[name].(map[string]any); isMap {
			writeDefaults(deeper, property)
		}
	}
}

// argoSays runs the rules as Argo CD does: without libraries, and with the object as a global.
func argoSays(t *testing.T, obj map[string]any) (string, error) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	state.SetGlobal("obj", luaValue(state, obj))
	if err := state.DoString(argoRules); err != nil {
		return "", err
	}
	return state.Get(-1).String(), nil
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, element := range value {
			table.Append(luaValue(state, element))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, element := range value {
			table.RawSetString(key, luaValue(state, element))
		}
		return table
	}
	return lua.LNil
}
