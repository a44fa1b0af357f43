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
)

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		args      []string
		wantError string
	}{
		"an unknown flag is named":               {args: []string{"--nope"}, wantError: "-nope"},
		"an unknown gate is named with its flag": {args: []string{"--feature-gates=Nope=true"}, wantError: `--feature-gates=Nope=true: parsing feature gates: unknown feature gate "Nope"`},
		"a directory that is not there is named": {args: []string{"--feature-gates-dir=/does/not/exist"}, wantError: "--feature-gates-dir=/does/not/exist"},
		"a port has a range":                     {args: []string{"--port=99999"}, wantError: "--port=99999: it must be from 1 to 65535"},
		"a log is JSON or text":                  {args: []string{"--logging-format=xml"}, wantError: "--logging-format=xml: it must be json or text"},
		"the verbosity has a range":              {args: []string{"-v=11"}, wantError: "-v=11"},
		"what is no flag is not passed over":     {args: []string{"cloneset"}, wantError: `"cloneset": only flags are understood`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args, &bytes.Buffer{})
			require.ErrorContains(t, err, tc.wantError)
			assert.NotContains(t, err.Error(), "\n", "an error is one line")
		})
	}
}

func TestParseNamesWhereWeAre(t *testing.T) {
	f, err := parse(nil, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, []string{"kruise-system", "kruise-webhook-service", "kruise-webhook-certs"}, []string{f.namespace, f.service, f.secret})
	t.Setenv("POD_NAMESPACE", "elsewhere")
	t.Setenv("SECRET_NAME", "certs")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "CloneSetShortHash"), []byte("true"), 0o600))
	f, err = parse([]string{"--service=hooks", "--feature-gates-dir=" + dir}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, []string{"elsewhere", "hooks", "certs"}, []string{f.namespace, f.service, f.secret})
	assert.Empty(t, f.gateNotes)
	f, err = parse([]string{"--feature-gates=TemplateNoDefaults=true"}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Len(t, f.gateNotes, 1)
}

func TestMetricsBeyondLoopbackAreProtected(t *testing.T) {
	addresses := map[string]bool{"0": false, "127.0.0.1:8080": false, "localhost:8080": false, "[::1]:8080": false, ":8443": true, "10.0.0.1:8443": true}
	for address, wantSecure := range addresses {
		t.Run(address, func(t *testing.T) {
			o := metricsOptions(flags{metricsAddr: address})
			assert.Equal(t, wantSecure, o.SecureServing)
			assert.Equal(t, wantSecure, o.FilterProvider != nil)
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for name, tc := range map[string]struct{ flag, want string }{
		"help lists the flags":    {flag: "--help", want: "health-probe-addr"},
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

func TestTheLogIsStructured(t *testing.T) {
	for name, tc := range map[string]struct{ format, want string }{
		"as JSON": {format: "json", want: `"msg":"Serving","port":9876`},
		"as text": {format: "text", want: `msg=Serving port=9876`},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			f, err := parse([]string{"--logging-format=" + tc.format}, &out)
			require.NoError(t, err)
			f.logger(&out).Info("Serving", "port", 9876)
			f.logger(&out).Debug("not seen")
			assert.Contains(t, out.String(), tc.want)
			assert.NotContains(t, out.String(), "not seen")
		})
	}
}
