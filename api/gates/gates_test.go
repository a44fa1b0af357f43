// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
		assert.Equal(t, g.Class == gates.Settled, g.Instead != "", "%s: a settled gate, and no other, says what happens instead", g.Name)
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
	assert.Empty(t, set.Notes())
	for _, g := range gates.All() {
		assert.Equal(t, g.Default && g.Class != gates.Unbuilt, set.Enabled(g.Name), g.Name)
	}
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

// programs are the folders of the code that may ask for a gate.
var programs = []string{"../../controllers", "../../webhooks", "../../nodeagent"}

// asked are the gates that the programs ask for by name.
func asked(t *testing.T) map[gates.Name]bool {
	t.Helper()
	found := map[gates.Name]bool{}
	for _, program := range programs {
		require.NoError(t, filepath.WalkDir(program, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				selector, isSelector := n.(*ast.SelectorExpr)
				if !isSelector {
					return true
				}
				if in, isName := selector.X.(*ast.Ident); isName && in.Name == "gates" {
					found[gates.Name(selector.Sel.Name)] = true
				}
				return true
			})
			return nil
		}))
	}
	return found
}

func TestAGateSwitchesSomethingExactlyWhereTheTableSaysSo(t *testing.T) {
	found := asked(t)
	// A gate that others need is asked for through them.
	switches := func(gate gates.Name) bool {
		return found[gate] || slices.ContainsFunc(gates.All(), func(g gates.Gate) bool { return found[g.Name] && slices.Contains(g.Needs, gate) })
	}
	for _, g := range gates.All() {
		assert.Equal(t, g.Class == gates.Built, switches(g.Name), "%s: a gate is built when a program asks for it, and no other is", g.Name)
	}
}

func TestAGateThatNothingImplementsIsRefused(t *testing.T) {
	for _, g := range gates.All() {
		t.Run(string(g.Name), func(t *testing.T) {
			off, err := gates.Resolve(map[string]bool{string(g.Name): false})
			require.NoError(t, err, "false is true of it")
			assert.False(t, off.Enabled(g.Name))
			on, err := gates.Resolve(map[string]bool{string(g.Name): true})
			switch g.Class {
			case gates.Unbuilt:
				require.ErrorContains(t, err, "enabling gate "+string(g.Name)+": nothing implements it in this version; set "+string(g.Name)+"=false, or leave it out")
			case gates.Settled:
				require.NoError(t, err)
				assert.Equal(t, []string{string(g.Name) + "=true changes nothing. " + g.Instead}, on.Notes())
			case gates.Built:
				require.NoError(t, err)
				assert.True(t, on.Enabled(g.Name))
			}
		})
	}
}

func TestAllThatIsRefusedIsNamedInOneLine(t *testing.T) {
	_, err := gates.Load("ResourcesDeletionProtection=true,PodWebhook=true,WorkloadSpread=false", "")
	require.EqualError(t, err, "feature gates: enabling gates PodWebhook, ResourcesDeletionProtection: nothing implements them in this version; "+
		"set them to false, or leave them out")
}

func TestAGroupTurnsOnWhatIsBuiltAndTellsWhatIsNot(t *testing.T) {
	set, err := gates.Resolve(map[string]bool{"AllAlpha": true, "AllBeta": true, "TemplateNoDefaults": false})
	require.NoError(t, err)
	for _, g := range gates.All() {
		assert.Equal(t, g.Class == gates.Built, set.Enabled(g.Name) && g.Class != gates.Settled, g.Name)
	}
	notes := set.Notes()
	require.Len(t, notes, 3)
	assert.Contains(t, notes[0], "AllAlpha=true does not turn on what nothing implements in this version: KruisePodReadinessGate, ")
	assert.Contains(t, notes[1], "AllBeta=true does not turn on what nothing implements in this version: PodWebhook, ")
	assert.Contains(t, notes[2], "TemplateNoDefaults=false changes nothing. ")
}
