// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package bundles_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// call is one call of a Tilt builtin.
type call struct {
	name   string
	args   starlark.Tuple
	kwargs map[string]starlark.Value
}

// TestTiltfile runs the Tiltfile as Tilt reads it, with its builtins replaced by ones that note their calls and render overlays for real.
func TestTiltfile(t *testing.T) {
	var calls []call
	note := func(name string, answer func(starlark.Tuple) (starlark.Value, error)) *starlark.Builtin {
		return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			c := call{name: name, args: args, kwargs: map[string]starlark.Value{}}
			for _, kv := range kwargs {
				c.kwargs[string(kv[0].(starlark.String))] = kv[1]
			}
			calls = append(calls, c)
			return answer(args)
		})
	}
	nothing := func(starlark.Tuple) (starlark.Value, error) { return starlark.None, nil }
	same := func(args starlark.Tuple) (starlark.Value, error) { return args[0], nil }
	kustomize := func(args starlark.Tuple) (starlark.Value, error) {
		raw, err := render(t, filepath.Join(root, string(args[0].(starlark.String)))).AsYaml()
		return starlark.String(raw), err
	}
	getenv := func(args starlark.Tuple) (starlark.Value, error) { return args[1], nil }
	builtins := starlark.StringDict{
		"allow_k8s_contexts": note("allow_k8s_contexts", nothing), "kustomize": note("kustomize", kustomize), "k8s_yaml": note("k8s_yaml", nothing),
		"blob": note("blob", same), "custom_build": note("custom_build", nothing), "k8s_resource": note("k8s_resource", nothing),
		"os":                  starlarkstruct.FromStringDict(starlark.String("os"), starlark.StringDict{"getenv": note("getenv", getenv)}),
		"TRIGGER_MODE_MANUAL": starlark.MakeInt(1),
	}
	options := &syntax.FileOptions{Set: true, GlobalReassign: true, Recursion: true, TopLevelControl: true, While: true}
	_, err := starlark.ExecFileOptions(options, &starlark.Thread{Name: "tilt"}, filepath.Join(root, "Tiltfile"), nil, builtins)
	require.NoError(t, err)

	manifest, images := "", []string{}
	for _, c := range calls {
		switch c.name {
		case "k8s_yaml":
			manifest += string(c.args[0].(starlark.String))
		case "custom_build":
			images = append(images, string(c.args[0].(starlark.String)))
			deps := c.kwargs["deps"].(*starlark.List)
			for i := range deps.Len() {
				dep := filepath.Join(root, string(deps.Index(i).(starlark.String)))
				if filepath.Ext(dep) != "" {
					assert.FileExists(t, dep)
				} else {
					assert.DirExists(t, dep)
				}
			}
		}
	}
	assert.Len(t, images, 3)
	assert.NotContains(t, manifest, "ko://", "every image is built by Tilt")
	for _, image := range images {
		assert.True(t, strings.Contains(manifest, "image: "+image+"\n"), "%s is used", image)
	}
}
