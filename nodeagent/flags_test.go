// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettingsAreRefused(t *testing.T) {
	tests := map[string]struct {
		args []string
		node string
		want string
	}{
		"without a node":                     {want: "NODE_NAME: the environment must name the node"},
		"metrics on every address":           {node: "a", args: []string{"--addr=:10221"}, want: "--addr=:10221: it must be a loopback address"},
		"metrics on an address of the node":  {node: "a", args: []string{"--addr=10.0.0.1:10221"}, want: "--addr=10.0.0.1:10221"},
		"an address without a port":          {node: "a", args: []string{"--addr=127.0.0.1"}, want: "--addr=127.0.0.1:"},
		"a gate that is not known":           {node: "a", args: []string{"--feature-gates=Wrong=true"}, want: `--feature-gates=Wrong=true: parsing feature gates: unknown feature gate "Wrong"`},
		"gates that contradict each other":   {node: "a", args: []string{"--feature-gates=KruiseDaemon=false,DaemonWatchingPod=true"}, want: "DaemonWatchingPod"},
		"a directory of gates that is not":   {node: "a", args: []string{"--feature-gates-dir=/nowhere"}, want: "--feature-gates-dir=/nowhere"},
		"a flag that is not known":           {node: "a", args: []string{"--wrong"}, want: "-wrong"},
		"a word that is no flag":             {node: "a", args: []string{"wrong"}, want: `"wrong": only flags are understood`},
		"a log format that is not known":     {node: "a", args: []string{"--logging-format=xml"}, want: "--logging-format=xml: it must be json or text"},
		"a verbosity that makes no sense":    {node: "a", args: []string{"-v=11"}, want: "-v=11: it must be from 0 to 10"},
		"a verbosity that is no number":      {node: "a", args: []string{"-v=much"}, want: "-v"},
		"metrics on a name instead of an IP": {node: "a", args: []string{"--addr=localhost:10221"}, want: "--addr=localhost:10221"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NODE_NAME", tc.node)
			var out bytes.Buffer
			_, err := parse(tc.args, &out)
			require.ErrorContains(t, err, tc.want)
			assert.NotErrorIs(t, err, errHelp)
			assert.Empty(t, out.String(), "one error, and no page of usage")
		})
	}
}

func TestSettings(t *testing.T) {
	t.Setenv("NODE_NAME", "node-a")
	f, err := parse(nil, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, flags{
		node: "node-a", socketRoot: "/run", healthAddr: ":10220", metricsAddr: "127.0.0.1:10221", logFormat: "json", readsAsNode: true, reportsMeta: true, followsMetadata: true,
	}, f)

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "KruiseDaemon"), []byte("false\n"), 0o600))
	f, err = parse([]string{"--feature-gates-dir=" + dir, "--addr=[::1]:10221"}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.False(t, f.reportsMeta)
	assert.False(t, f.followsMetadata)
	assert.NotEmpty(t, f.gateNotes)
}

func TestHelpAndVersion(t *testing.T) {
	for _, flag := range []string{"--help", "--version"} {
		var out bytes.Buffer
		_, err := parse([]string{flag}, &out)
		require.True(t, errors.Is(err, errHelp))
		assert.NotEmpty(t, out.String())
	}
}
