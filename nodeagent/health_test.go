// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/http/httptest"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHealthSaysWhatIsWrong(t *testing.T) {
	fine := func() error { return nil }
	wrong := func(what string) check { return func() error { return errors.New(what) } }
	for name, tc := range map[string]struct {
		alive, ready []check
		want         map[string]string
	}{
		"all is well": {alive: []check{fine}, ready: []check{fine, fine}, want: map[string]string{"/livez": "ok", "/readyz": "ok", "/healthz": "ok"}},
		"not ready":   {alive: []check{fine}, ready: []check{wrong("no Pods"), fine}, want: map[string]string{"/livez": "ok", "/readyz": "no Pods\n", "/healthz": "no Pods\n"}},
		"several things": {
			alive: []check{wrong("lost")}, ready: []check{wrong("no Pods"), wrong("no runtime")},
			want: map[string]string{"/livez": "lost\n", "/readyz": "no Pods\nno runtime\n"},
		},
		"nothing is asked": {want: map[string]string{"/livez": "ok", "/readyz": "ok"}},
	} {
		t.Run(name, func(t *testing.T) {
			handler := health(tc.alive, tc.ready)
			for path, want := range tc.want {
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
				assert.Equal(t, want, answer.Body.String(), path)
				assert.Equal(t, want == "ok", answer.Code == 200, path)
			}
		})
	}
}

func TestMemoryIsKeptBelowTheLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for name, tc := range map[string]struct {
		limit, own string
		want       int64
		wantError  string
	}{
		"a tenth is left for what the collector does not see": {limit: "134217728", want: 120795948},
		"what the user sets wins":                             {limit: "134217728", own: "64MiB", want: before},
		"no limit":                                            {want: before},
		"a limit that is no number":                           {limit: "128Mi", want: before, wantError: `MEMORY_LIMIT: "128Mi" is no number of bytes`},
		"a limit that is none":                                {limit: "0", want: before, wantError: `MEMORY_LIMIT: "0" is no number of bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			debug.SetMemoryLimit(before)
			t.Setenv("MEMORY_LIMIT", tc.limit)
			t.Setenv("GOMEMLIMIT", tc.own)
			err := limitMemory()
			if tc.wantError != "" {
				require.ErrorContains(t, err, tc.wantError)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, tc.want, debug.SetMemoryLimit(-1))
		})
	}
}
