// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/keelson/keelson/controllers/plan"
)

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		args      []string
		wantError string
	}{
		"an unknown flag is named":               {args: []string{"--nope"}, wantError: "-nope"},
		"an unknown gate is named with its flag": {args: []string{"--feature-gates=Nope=true"}, wantError: `--feature-gates=Nope=true: parsing feature gates: unknown feature gate "Nope"`},
		"a gate is true or false":                {args: []string{"--feature-gates=CloneSetShortHash=maybe"}, wantError: "CloneSetShortHash must be true or false"},
		"a directory that is not there is named": {args: []string{"--feature-gates-dir=/does/not/exist"}, wantError: "--feature-gates-dir=/does/not/exist"},
		"somebody has to work":                   {args: []string{"--cloneset-workers=0"}, wantError: "--cloneset-workers=0: it must be 1 or more"},
		"a log is JSON or text":                  {args: []string{"--logging-format=xml"}, wantError: "--logging-format=xml: it must be json or text"},
		"the verbosity has a range":              {args: []string{"-v=-1"}, wantError: "-v=-1"},
		"a lease outlives the try to renew it":   {args: []string{"--leader-election-lease-duration=5s"}, wantError: "longer than --leader-election-renew-deadline=10s"},
		"profiles stay on the loopback address":  {args: []string{"--enable-pprof", "--pprof-addr=:8090"}, wantError: "--pprof-addr=:8090: it must be a loopback address"},
		"what is no flag is not passed over":     {args: []string{"cloneset"}, wantError: `"cloneset": only flags are understood`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args, &bytes.Buffer{})
			require.ErrorContains(t, err, tc.wantError)
			assert.NotContains(t, err.Error(), "\n", "an error is one line")
		})
	}
}

func TestParseGates(t *testing.T) {
	// A ConfigMap is mounted as links into a hidden directory.
	dir := t.TempDir()
	hidden := filepath.Join(dir, "..2026_01_01")
	require.NoError(t, os.Mkdir(hidden, 0o755))
	require.NoError(t, os.Symlink("..2026_01_01", filepath.Join(dir, "..data")))
	for gate, value := range map[string]string{"CloneSetShortHash": "true\n", "CloneSetPartitionRollback": "true"} {
		require.NoError(t, os.WriteFile(filepath.Join(hidden, gate), []byte(value), 0o600))
		require.NoError(t, os.Symlink(filepath.Join("..data", gate), filepath.Join(dir, gate)))
	}
	f, err := parse([]string{"--feature-gates-dir=" + dir, "--feature-gates=CloneSetPartitionRollback=false"}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, plan.Policy{ShortHash: true, EnvFromMetadata: true}, f.policy, "the flag wins over the directory")

	f, err = parse(nil, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, plan.Policy{EnvFromMetadata: true}, f.policy)

	f, err = parse([]string{"--feature-gates=DaemonWatchingPod=false,InPlaceWorkloadVerticalScaling=true"}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, plan.Policy{VerticalScaling: true}, f.policy, "without the node agent's reports environments are not followed")
	assert.True(t, f.leaderElection, "two replicas must not both work")
}

func TestTheLeaseIsInTheNamespaceOfThePod(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	for name, tc := range map[string]struct {
		env  string
		args []string
		want string
	}{
		"the published one where nobody says": {want: "kruise-system"},
		"that of the Pod":                     {env: "other", want: "other"},
		"a flag wins":                         {env: "other", args: []string{"--leader-election-namespace=third"}, want: "third"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("POD_NAMESPACE", tc.env)
			f, err := parse(tc.args, &bytes.Buffer{})
			require.NoError(t, err)
			assert.Equal(t, tc.want, f.leaderElectionNamespace)
		})
	}
}

func TestAnAddressForProfilesThatAreNotServedMeansNothing(t *testing.T) {
	f, err := parse([]string{"--pprof-addr=:8090"}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Empty(t, f.profiles())
}

func TestHelpAndVersion(t *testing.T) {
	for name, tc := range map[string]struct{ flag, want string }{
		"help lists the flags":    {flag: "--help", want: "cloneset-workers"},
		"the version is one word": {flag: "--version", want: version},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			_, err := parse([]string{tc.flag}, &out)
			require.ErrorIs(t, err, errHelp)
			assert.Contains(t, out.String(), tc.want)
		})
	}
}

func TestMetricsBeyondLoopbackAreProtected(t *testing.T) {
	for address, wantSecure := range map[string]bool{
		"0": false, "127.0.0.1:8080": false, "localhost:8080": false, "[::1]:8080": false, ":8443": true, "0.0.0.0:8443": true, "10.0.0.1:8443": true,
	} {
		t.Run(address, func(t *testing.T) {
			o := metricsOptions(flags{metricsAddr: address})
			assert.Equal(t, wantSecure, o.SecureServing)
			assert.Equal(t, wantSecure, o.FilterProvider != nil)
		})
	}
}
