// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/keelson/keelson/api/gates"
)

// published lists every gate with its published default and stage, written down independently of the table.
const published = `
PodWebhook true Beta
KruiseDaemon true Beta
DaemonWatchingPod true Beta
CloneSetShortHash false Alpha
KruisePodReadinessGate false Alpha
PreDownloadImageForInPlaceUpdate false Alpha
CloneSetPartitionRollback false Alpha
ResourcesDeletionProtection false Beta
WorkloadSpread true Beta
PodUnavailableBudgetDeleteGate true Beta
PodUnavailableBudgetUpdateGate false Alpha
TemplateNoDefaults false Alpha
InPlaceUpdateEnvFromMetadata true Beta
StatefulSetAutoDeletePVC true Beta
SidecarSetPatchPodMetadataDefaultsAllowed false Alpha
SidecarTerminator false Alpha
PodProbeMarkerGate true Beta
PreDownloadImageForDaemonSetUpdate false Alpha
CloneSetEventHandlerOptimization false Alpha
PreparingUpdateAsUpdate false Alpha
ImagePullJobGate false Alpha
ResourceDistributionGate false Beta
DeletionProtectionForCRDCascadingGate false Alpha
EnhancedLivenessProbe false Alpha
RecreatePodWhenChangeVCTInCloneSetGate false Alpha
StatefulSetStartOrdinal false Alpha
PodIndexLabel true Beta
EnableExternalCerts false Alpha
StatefulSetAutoResizePVCGate false Alpha
ForceDeleteTimeoutExpectationGate false Alpha
InPlaceWorkloadVerticalScaling false Alpha
EnablePodProbeMarkerOnServerless false Alpha
EnableSortSidecarContainerByName false Alpha
InPlacePodVerticalScaling false Alpha
DefaultHostNetworkHostPortsInPodTemplates false Alpha
DaemonSetPruneIneligibleNodes false Alpha
`

func TestTableIsThePublishedOne(t *testing.T) {
	want := map[gates.Name][]string{}
	for _, line := range strings.Split(strings.TrimSpace(published), "\n") {
		fields := strings.Fields(line)
		want[gates.Name(fields[0])] = fields[1:]
	}
	for _, g := range gates.All() {
		fields, ok := want[g.Name]
		require.True(t, ok, "%s is in the table twice, or is not published", g.Name)
		assert.Equal(t, fields[0] == "true", g.Default, g.Name)
		assert.Equal(t, fields[1], string(g.Stage), g.Name)
		delete(want, g.Name)
	}
	assert.Empty(t, want, "gates missing from the table")
}

func TestTableHoldsTogether(t *testing.T) {
	known := map[gates.Name]bool{}
	for _, g := range gates.All() {
		known[g.Name] = true
	}
	for _, g := range gates.All() {
		assert.Regexp(t, `^[A-Z].*\.$`, g.Doc, g.Name)
		for _, list := range [][]gates.Name{g.Needs, g.Forces, g.Excludes} {
			for _, other := range list {
				assert.True(t, known[other], "%s speaks of %s", g.Name, other)
				assert.NotEqual(t, g.Name, other)
			}
		}
	}
}

func TestDefaultsNeedNoRule(t *testing.T) {
	set, err := gates.Resolve(nil)
	require.NoError(t, err)
	assert.Empty(t, set.Derived())
	for _, g := range gates.All() {
		assert.Equal(t, g.Default, set.Enabled(g.Name), g.Name)
	}
}

// resolution is a flag and what it turns on and off.
type resolution struct {
	settings string
	wantOn   []gates.Name
	wantOff  []gates.Name
}

func (r resolution) check(t *testing.T) {
	settings, err := gates.ParseFlag(r.settings)
	require.NoError(t, err)
	set, err := gates.Resolve(settings)
	require.NoError(t, err)
	for _, gate := range r.wantOn {
		assert.True(t, set.Enabled(gate), "%s is off: %v", gate, set.Derived())
	}
	for _, gate := range r.wantOff {
		assert.False(t, set.Enabled(gate), "%s is on: %v", gate, set.Derived())
	}
}

func TestResolve(t *testing.T) {
	tests := map[string]resolution{
		"an explicit gate is on": {
			settings: "CloneSetShortHash=true",
			wantOn:   []gates.Name{gates.CloneSetShortHash},
			wantOff:  []gates.Name{gates.CloneSetPartitionRollback},
		},
		"all groups on turns every gate on": {
			settings: "AllAlpha=true,AllBeta=true",
			wantOn:   every(),
		},
		"a gate wins over its group": {
			settings: "AllAlpha=true,AllBeta=true,EnableExternalCerts=false,TemplateNoDefaults=false",
			wantOn:   []gates.Name{gates.CloneSetShortHash, gates.ResourcesDeletionProtection},
			wantOff:  []gates.Name{gates.EnableExternalCerts, gates.TemplateNoDefaults},
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
			wantOn:   []gates.Name{gates.CloneSetShortHash, gates.KruiseDaemon},
			wantOff: []gates.Name{
				gates.PodWebhook, gates.KruisePodReadinessGate, gates.PodUnavailableBudgetDeleteGate,
				gates.PodUnavailableBudgetUpdateGate, gates.WorkloadSpread, gates.SidecarSetPatchPodMetadataDefaultsAllowed,
				gates.EnhancedLivenessProbe, gates.EnablePodProbeMarkerOnServerless,
			},
		},
		"without the node agent what needs it is off": {
			settings: "KruiseDaemon=false,AllAlpha=true",
			wantOn:   []gates.Name{gates.PodWebhook, gates.WorkloadSpread},
			wantOff: []gates.Name{
				gates.KruiseDaemon, gates.PreDownloadImageForInPlaceUpdate, gates.DaemonWatchingPod,
				gates.InPlaceUpdateEnvFromMetadata, gates.PreDownloadImageForDaemonSetUpdate, gates.PodProbeMarkerGate,
				gates.SidecarTerminator, gates.ImagePullJobGate, gates.EnhancedLivenessProbe,
			},
		},
		"a pre-download gate turns image pull jobs on": {
			settings: "PreDownloadImageForInPlaceUpdate=true",
			wantOn:   []gates.Name{gates.ImagePullJobGate},
		},
		"the other pre-download gate turns image pull jobs on": {
			settings: "PreDownloadImageForDaemonSetUpdate=true",
			wantOn:   []gates.Name{gates.ImagePullJobGate},
		},
		"an image pull job gate that is off by name keeps a grouped pre-download gate off": {
			settings: "AllAlpha=true,ImagePullJobGate=false",
			wantOff:  []gates.Name{gates.ImagePullJobGate, gates.PreDownloadImageForInPlaceUpdate},
		},
		"cascading protection by group gives way to protection being off": {
			settings: "AllAlpha=true",
			wantOff:  []gates.Name{gates.DeletionProtectionForCRDCascadingGate},
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
			settings, err := gates.ParseFlag(tc.settings)
			require.NoError(t, err)
			_, err = gates.Resolve(settings)
			for _, want := range tc.wantErr {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestDerivedSaysWhy(t *testing.T) {
	set, err := gates.Resolve(map[string]bool{"PodWebhook": false, "PreDownloadImageForInPlaceUpdate": true})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"WorkloadSpread is off: it needs PodWebhook, which is off by PodWebhook=false",
		"PodUnavailableBudgetDeleteGate is off: it needs PodWebhook, which is off by PodWebhook=false",
		"ImagePullJobGate is on: PreDownloadImageForInPlaceUpdate turns it on",
	}, set.Derived())
}

func TestResolveRefusesAnUnknownGate(t *testing.T) {
	_, err := gates.Resolve(map[string]bool{"CloneSetShortHahs": true})
	require.EqualError(t, err, `unknown feature gate "CloneSetShortHahs"; did you mean CloneSetShortHash?`)
}

func TestParseFlag(t *testing.T) {
	tests := map[string]struct {
		flag    string
		want    map[string]bool
		wantErr string
	}{
		"nothing":              {flag: "", want: map[string]bool{}},
		"two gates and blanks": {flag: " PodWebhook=true, KruiseDaemon = false ,", want: map[string]bool{"PodWebhook": true, "KruiseDaemon": false}},
		"a group":              {flag: "AllAlpha=true", want: map[string]bool{"AllAlpha": true}},
		"the same twice":       {flag: "PodWebhook=true,PodWebhook=true", want: map[string]bool{"PodWebhook": true}},
		"both values":          {flag: "PodWebhook=true,PodWebhook=false", wantErr: "gate PodWebhook is set both true and false"},
		"no value":             {flag: "PodWebhook", wantErr: `"PodWebhook" is not of the form <gate>=true or <gate>=false`},
		"a nonsensical value":  {flag: "PodWebhook=maybe", wantErr: `gate PodWebhook must be true or false, not "maybe"`},
		"a typing error":       {flag: "podwebhok=true", wantErr: `unknown feature gate "podwebhok"; did you mean PodWebhook?`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := gates.ParseFlag(tc.flag)
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestParseDirReadsAMountedConfigMap(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "..2026_11_21")
	require.NoError(t, os.Mkdir(data, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(data, "CloneSetShortHash"), []byte("true\n"), 0o600))
	require.NoError(t, os.Symlink("..2026_11_21", filepath.Join(dir, "..data")))
	require.NoError(t, os.Symlink("..data/CloneSetShortHash", filepath.Join(dir, "CloneSetShortHash")))

	got, err := gates.ParseDir(os.DirFS(dir))
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"CloneSetShortHash": true}, got)
}

func TestParseDirRefuses(t *testing.T) {
	tests := map[string]struct {
		dir     fs.FS
		wantErr string
	}{
		"a file that names no gate": {
			dir:     fstest.MapFS{"CloneSetShort": {Data: []byte("true")}},
			wantErr: `unknown feature gate "CloneSetShort"; did you mean CloneSetShortHash?`,
		},
		"a file that says neither true nor false": {
			dir:     fstest.MapFS{"PodWebhook": {Data: []byte("")}},
			wantErr: `parsing feature gate file PodWebhook: gate PodWebhook must be true or false, not ""`,
		},
		"a directory that is not there": {
			dir:     os.DirFS("/does/not/exist"),
			wantErr: "reading the directory of feature gates",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := gates.ParseDir(tc.dir)
			require.ErrorContains(t, err, tc.wantErr)
		})
	}
	_, err := gates.ParseDir(os.DirFS("/does/not/exist"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func every() []gates.Name {
	var names []gates.Name
	for _, g := range gates.All() {
		names = append(names, g.Name)
	}
	return names
}
