// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The published gates exclude nobody, so the rule is shown on a table of its own.
func TestExclusion(t *testing.T) {
	table := []Gate{
		{Name: "Old", Default: true, Stage: Beta, Excludes: []Name{"New"}},
		{Name: "New", Stage: Alpha, Excludes: []Name{"Old"}},
		{Name: "OnOld", Default: true, Stage: Beta, Needs: []Name{"Old"}},
	}
	tests := map[string]struct {
		settings map[string]bool
		want     map[Name]bool
		wantErr  string
	}{
		"the default stays when nobody speaks": {
			want: map[Name]bool{"Old": true, "New": false, "OnOld": true},
		},
		"the explicit gate displaces the default and what needs that": {
			settings: map[string]bool{"New": true},
			want:     map[Name]bool{"Old": false, "New": true, "OnOld": false},
		},
		"the explicit gate withstands the group": {
			settings: map[string]bool{"AllAlpha": true, "Old": true},
			want:     map[Name]bool{"Old": true, "New": false, "OnOld": true},
		},
		"two explicit gates contradict": {
			settings: map[string]bool{"Old": true, "New": true},
			wantErr:  "enabling gate Old: it cannot be on together with New, which is on by New=true",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := resolve(table, tc.settings)
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, set.enabled)
		})
	}
}
