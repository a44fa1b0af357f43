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
		{Name: "Old", Default: true, Stage: Beta, Class: Built, Excludes: []Name{"New"}},
		{Name: "New", Stage: Alpha, Class: Built, Excludes: []Name{"Old"}},
		{Name: "OnOld", Default: true, Stage: Beta, Class: Built, Needs: []Name{"Old"}},
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

// asIfBuilt is the table as it is when everything is built: the published rules between gates hold then.
func asIfBuilt() []Gate {
	table := All()
	for i := range table {
		table[i].Class, table[i].Instead = Built, ""
	}
	return table
}

// resolution is a flag and what it turns on and off.
type resolution struct {
	settings string
	wantOn   []Name
	wantOff  []Name
}

func (r resolution) check(t *testing.T) {
	settings, err := ParseFlag(r.settings)
	require.NoError(t, err)
	set, err := resolve(asIfBuilt(), settings)
	require.NoError(t, err)
	for _, gate := range r.wantOn {
		assert.True(t, set.Enabled(gate), "%s is off: %v", gate, set.Notes())
	}
	for _, gate := range r.wantOff {
		assert.False(t, set.Enabled(gate), "%s is on: %v", gate, set.Notes())
	}
}

func TestResolve(t *testing.T) {
	tests := map[string]resolution{
		"an explicit gate is on": {
			settings: "CloneSetShortHash=true",
			wantOn:   []Name{CloneSetShortHash},
			wantOff:  []Name{CloneSetPartitionRollback},
		},
		"all groups on turns every gate on": {
			settings: "AllAlpha=true,AllBeta=true",
			wantOn:   every(),
		},
		"a gate wins over its group": {
			settings: "AllAlpha=true,AllBeta=true,EnableExternalCerts=false,TemplateNoDefaults=false",
			wantOn:   []Name{CloneSetShortHash, ResourcesDeletionProtection},
			wantOff:  []Name{EnableExternalCerts, TemplateNoDefaults},
		},
		"all groups off turns every gate off": {
			settings: "AllAlpha=false,AllBeta=false",
			wantOff:  every(),
		},
	}
	for name, tc := range tests {
		t.Run(name, tc.check)
	}
}

func TestResolveAppliesTheRulesOfStartUp(t *testing.T) {
	tests := map[string]resolution{
		"without the Pod webhook what needs it is off": {
			settings: "PodWebhook=false,AllAlpha=true",
			wantOn:   []Name{CloneSetShortHash, KruiseDaemon},
			wantOff: []Name{
				PodWebhook, KruisePodReadinessGate, PodUnavailableBudgetDeleteGate,
				PodUnavailableBudgetUpdateGate, WorkloadSpread, SidecarSetPatchPodMetadataDefaultsAllowed,
				EnhancedLivenessProbe, EnablePodProbeMarkerOnServerless,
			},
		},
		"without the node agent what needs it is off": {
			settings: "KruiseDaemon=false,AllAlpha=true",
			wantOn:   []Name{PodWebhook, WorkloadSpread},
			wantOff: []Name{
				KruiseDaemon, PreDownloadImageForInPlaceUpdate, DaemonWatchingPod,
				InPlaceUpdateEnvFromMetadata, PreDownloadImageForDaemonSetUpdate, PodProbeMarkerGate,
				SidecarTerminator, ImagePullJobGate, EnhancedLivenessProbe,
			},
		},
		"a pre-download gate turns image pull jobs on": {
			settings: "PreDownloadImageForInPlaceUpdate=true",
			wantOn:   []Name{ImagePullJobGate},
		},
		"the other pre-download gate turns image pull jobs on": {
			settings: "PreDownloadImageForDaemonSetUpdate=true",
			wantOn:   []Name{ImagePullJobGate},
		},
		"an image pull job gate that is off by name keeps a grouped pre-download gate off": {
			settings: "AllAlpha=true,ImagePullJobGate=false",
			wantOff:  []Name{ImagePullJobGate, PreDownloadImageForInPlaceUpdate},
		},
		"cascading protection by group gives way to protection being off": {
			settings: "AllAlpha=true",
			wantOff:  []Name{DeletionProtectionForCRDCascadingGate},
		},
	}
	for name, tc := range tests {
		t.Run(name, tc.check)
	}
}

func TestResolveRefusesContradictions(t *testing.T) {
	tests := map[string]struct {
		settings string
		wantErr  []string
	}{
		"cascading protection by name needs protection": {
			settings: "DeletionProtectionForCRDCascadingGate=true",
			wantErr: []string{
				"enabling gate DeletionProtectionForCRDCascadingGate: it needs ResourcesDeletionProtection, which is off by default",
			},
		},
		"spread without the Pod webhook contradicts": {
			settings: "PodWebhook=false,WorkloadSpread=true",
			wantErr:  []string{"enabling gate WorkloadSpread: it needs PodWebhook, which is off by PodWebhook=false"},
		},
		"image pull jobs without the node agent contradict": {
			settings: "KruiseDaemon=false,ImagePullJobGate=true",
			wantErr:  []string{"enabling gate ImagePullJobGate: it needs KruiseDaemon, which is off by KruiseDaemon=false"},
		},
		"a group that takes away what an explicit gate needs contradicts": {
			settings: "AllBeta=false,WorkloadSpread=true",
			wantErr:  []string{"it needs PodWebhook, which is off by AllBeta=false"},
		},
		"pre-download without image pull jobs contradicts": {
			settings: "PreDownloadImageForInPlaceUpdate=true,ImagePullJobGate=false",
			wantErr: []string{
				"enabling gate PreDownloadImageForInPlaceUpdate: it turns ImagePullJobGate on, which is off by ImagePullJobGate=false",
			},
		},
		"every contradiction is told at once": {
			settings: "PodWebhook=false,WorkloadSpread=true,KruiseDaemon=false,SidecarTerminator=true",
			wantErr:  []string{"enabling gate WorkloadSpread", "enabling gate SidecarTerminator"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			settings, err := ParseFlag(tc.settings)
			require.NoError(t, err)
			_, err = resolve(asIfBuilt(), settings)
			for _, want := range tc.wantErr {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestNotesSaysWhy(t *testing.T) {
	set, err := resolve(asIfBuilt(), map[string]bool{"PodWebhook": false, "PreDownloadImageForInPlaceUpdate": true})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"WorkloadSpread is off: it needs PodWebhook, which is off by PodWebhook=false",
		"PodUnavailableBudgetDeleteGate is off: it needs PodWebhook, which is off by PodWebhook=false",
		"ImagePullJobGate is on: PreDownloadImageForInPlaceUpdate turns it on",
	}, set.Notes())
}

func every() []Name {
	var names []Name
	for _, g := range All() {
		names = append(names, g.Name)
	}
	return names
}
