// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWarnOfOrder(t *testing.T) {
	const orders = "spec.updateStrategy.rollingUpdate.priorityStrategy.orderPriority"
	const scatters = "spec.updateStrategy.rollingUpdate.scatterStrategy"
	for name, tc := range map[string]struct {
		fields string
		want   []string
	}{
		"nothing said":           {fields: "paused: false"},
		"labels that can be":     {fields: "priorityStrategy: {orderPriority: [{orderedKey: example.com/batch}]}, scatterStrategy: [{key: role, value: leader}, {key: role, value: ''}]"},
		"a key that no label is": {fields: "priorityStrategy: {orderPriority: [{orderedKey: a}, {orderedKey: a b}]}", want: []string{orders + `[1].orderedKey: no Pod can have the label key "a b"`}},
		"a label that none is": {
			fields: "scatterStrategy: [{key: 'a/b/c', value: 'd e'}]",
			want:   []string{scatters + `[0].key: no Pod can have the label key "a/b/c"`, scatters + `[0].value: no Pod can have the label value "d e"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			updated := set(t, base, rolling(tc.fields)...)
			got := warnOfOrder(nil, updated)
			require.Len(t, got, len(tc.want))
			for i := range got {
				assert.Contains(t, got[i], tc.want[i])
			}
			assert.Empty(t, warnOfOrder(updated, updated), "what an update does not touch is not told of again")
		})
	}
}
