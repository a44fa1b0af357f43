// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/keelson/keelson/controllers/plan"
)

func TestSteps(t *testing.T) {
	action := func(step int, phase plan.Phase) plan.Action { return plan.Action{Step: step, Phase: phase} }
	for name, tc := range map[string]struct {
		actions []plan.Action
		want    [][]plan.Action
	}{
		"no action is no step": {},
		"steps ascend, and the order within one stays": {
			actions: []plan.Action{action(2, "a"), action(0, "b"), action(2, "c"), action(0, "d")},
			want:    [][]plan.Action{{action(0, "b"), action(0, "d")}, {action(2, "a"), action(2, "c")}},
		},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, steps(tc.actions)) })
	}
}

func TestLocked(t *testing.T) {
	for name, tc := range map[string]struct {
		patch, want string
	}{
		"a patch without metadata gets the lock": {
			patch: `{"spec":{"a":1}}`, want: `{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"a":1}}`,
		},
		"metadata is kept": {
			patch: `{"metadata":{"labels":{"a":null}}}`, want: `{"metadata":{"labels":{"a":null},"uid":"u","resourceVersion":"7"}}`,
		},
		"empty metadata is filled":               {patch: `{"metadata":{}}`, want: `{"metadata":{"uid":"u","resourceVersion":"7"}}`},
		"an empty patch is a lock":               {patch: `{}`, want: `{"metadata":{"uid":"u","resourceVersion":"7"}}`},
		"metadata may come last":                 {patch: `{"data":1,"metadata":{"labels":{"a":"b"}}}`, want: `{"data":1,"metadata":{"labels":{"a":"b"},"uid":"u","resourceVersion":"7"}}`},
		"metadata deeper down is something else": {patch: `{"spec":{"metadata":1}}`, want: `{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"metadata":1}}`},
		"large numbers stay as they are": {
			patch: `{"revision":9007199254740993}`, want: `{"metadata":{"uid":"u","resourceVersion":"7"},"revision":9007199254740993}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := locked([]byte(tc.patch), "u", "7")
			assert.NoError(t, err)
			assert.JSONEq(t, tc.want, string(got))
		})
	}
	_, err := locked([]byte(`{oops`), "u", "7")
	assert.ErrorContains(t, err, "reading the patch")
}

func TestShortened(t *testing.T) {
	assert.Equal(t, "short", shortened("short", ""))
	assert.Equal(t, "short (and 3 more)", shortened("short", " (and 3 more)"))
	for length := 330; length <= 350; length++ {
		for _, suffix := range []string{"", " (and 2147483647 like this before it)"} {
			long := shortened(strings.Repeat("€", length), suffix)
			assert.True(t, utf8.ValidString(long), "no character is cut in two")
			assert.LessOrEqual(t, len(long), 1024, "the API refuses an event whose note is longer")
			assert.True(t, strings.HasSuffix(long, suffix), "what follows is not cut")
		}
	}
}
