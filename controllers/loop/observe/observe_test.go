// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/controllers/loop/observe"
)

func TestFreshIDs(t *testing.T) {
	for name, tc := range map[string]struct {
		n, want int
	}{
		"a negative number draws none":             {n: -3, want: 0},
		"as many as asked for are drawn":           {n: 20, want: 20},
		"no pass creates more than a batch of 100": {n: 10_000, want: 100},
	} {
		t.Run(name, func(t *testing.T) {
			taken := map[string]bool{}
			reader := &observe.Reader{}
			for range 3 {
				for _, id := range reader.FreshIDs("owner", tc.n, taken) {
					assert.Regexp(t, "^[a-z0-9]{5}$", id)
					assert.False(t, taken[id], "an ID is drawn once")
					taken[id] = true
				}
			}
			assert.Len(t, taken, 3*tc.want)
		})
	}
}

func TestFreshIDsOfAFailedPassAreOfferedAgain(t *testing.T) {
	reader := &observe.Reader{}
	first := reader.FreshIDs("owner", 3, nil)
	reader.Keep("owner", first)
	second := reader.FreshIDs("owner", 3, map[string]bool{first[0]: true})
	assert.Equal(t, first[1:], second[:2], "those that are not taken by now come first")
	assert.NotEqual(t, second, reader.FreshIDs("owner", 3, nil), "they are offered once")
}

func TestIndex(t *testing.T) {
	controller := true
	for name, tc := range map[string]struct {
		owners []metav1.OwnerReference
		want   string
	}{
		"an orphan is under its namespace":       {want: "orphans/shop"},
		"an owner that does not control is none": {owners: []metav1.OwnerReference{{UID: "a"}}, want: "orphans/shop"},
		"the controller counts":                  {owners: []metav1.OwnerReference{{UID: "a"}, {UID: "b", Controller: &controller}}, want: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := observe.Index(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", OwnerReferences: tc.owners}})
			require.NoError(t, err)
			assert.Equal(t, []string{tc.want}, keys)
		})
	}
}
