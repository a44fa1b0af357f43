// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package samples_test applies every sample of the documentation as it stands.
package samples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "default") }

func TestSamples(t *testing.T) {
	files, err := filepath.Glob("../../docs/samples/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := support.Begin(t)
			manifest, err := os.ReadFile(file)
			require.NoError(t, err)
			if strings.Contains(string(manifest), "volumeClaimTemplates") {
				s.VolumesOfNoClass(3)
			}
			var object struct{ Metadata struct{ Name string } }
			require.NoError(t, yaml.Unmarshal(manifest, &object))
			for _, how := range []string{"--server-side=false", "--server-side"} {
				out, err := support.Kubectl(t.Context(), manifest, "-n", s.Namespace, "apply", "-f", "-", how)
				require.NoError(t, err, out)
			}
			s.WaitReady(object.Metadata.Name)
			out, err := support.Kubectl(t.Context(), manifest, "-n", s.Namespace, "diff", "-f", "-")
			assert.NoError(t, err, out)
			assert.Empty(t, out, "nothing drifts")
		})
	}
}
