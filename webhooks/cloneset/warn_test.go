// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/revision"
)

const (
	command = "spec.template.spec.containers[0].command[0] cannot change in place"
	told    = "spec.template.spec.containers[0].env cannot change in place"
	waits   = "this update will wait, because InPlaceOnly forbids to recreate Pods: "
)

var (
	toImage   = []string{"web:1", "web:2"}
	toCommand = []string{"[serve]", "[other]"}
	toOnly    = []string{"InPlaceIfPossible", "InPlaceOnly"}
	toSix     = []string{"replicas: 5", "replicas: 6"}
)

// rolling replaces the strategy of an update.
func rolling(fields string) []string {
	return []string{"{podUpdatePolicy: InPlaceIfPossible}", "{" + fields + "}"}
}

// observed is what the status of the old object says.
type observed struct {
	// pods are all Pods, atOld those of them that are at the old template.
	pods, atOld int32
	// told is why the running update is not made in place.
	told string
}

func TestWarn(t *testing.T) {
	for name, tc := range map[string]struct {
		// old and updated turn the base into the two objects.
		old, updated []string
		// observed is five Pods of five at the old template where nothing is said.
		observed *observed
		want     string
	}{
		"an image changes in place":           {updated: toImage},
		"a label changes in place":            {updated: []string{"tier: front", "tier: back"}},
		"another spelling changes nothing":    {updated: []string{"command: [serve]", "command: [serve], env: []"}},
		"scaling out recreates nothing":       {updated: toSix},
		"a command cannot change in place":    {updated: toCommand, want: "this change recreates 5 Pods: " + command},
		"one Pod is one Pod":                  {updated: toCommand, observed: &observed{pods: 1, atOld: 1}, want: "this change recreates 1 Pod: " + command},
		"nothing runs that could be replaced": {updated: toCommand, observed: &observed{}},
		"Pods that are scaled away do not count": {
			updated: slices.Concat(toCommand, []string{"replicas: 5", "replicas: 2"}), want: "this change recreates 2 Pods: " + command,
		},
		"Pods that are new anyway do not count": {updated: slices.Concat(toCommand, toSix), want: "this change recreates 5 Pods: " + command},
		"a partition holds some back": {
			updated: slices.Concat(toCommand, rolling("podUpdatePolicy: InPlaceIfPossible, partition: 60%")), want: "this change recreates 2 Pods: " + command,
		},
		"a partition holds all back": {updated: slices.Concat(toCommand, rolling("podUpdatePolicy: InPlaceIfPossible, partition: 5"))},
		"a pause puts it off": {
			updated: slices.Concat(toCommand, rolling("podUpdatePolicy: InPlaceIfPossible, paused: true")),
			want:    "this change recreates 5 Pods once the update is resumed: " + command,
		},
		"nothing happens before a deletion": {updated: slices.Concat(toCommand, []string{"  updateStrategy:", "  updateStrategy:\n    type: OnDelete"})},
		"recreation that was asked for":     {updated: slices.Concat(toCommand, rolling("podUpdatePolicy: ReCreate"))},
		"recreation by default":             {updated: slices.Concat(toCommand, rolling("partition: 2"))},

		"a status with more Pods at the template than there are counts none twice": {
			updated: toCommand, observed: &observed{pods: 3, atOld: 9}, want: "this change recreates 3 Pods: " + command,
		},
		"a status with fewer Pods than none has none": {updated: slices.Concat(toCommand, toOnly), observed: &observed{pods: -3, atOld: -9}},

		"what may only be in place waits":    {updated: slices.Concat(toCommand, toOnly), want: waits + command},
		"what can be in place does not wait": {updated: slices.Concat(toImage, toOnly)},
		"nothing waits where nothing runs":   {updated: slices.Concat(toCommand, toOnly), observed: &observed{}},
		"what waits already is told once":    {old: toOnly, updated: slices.Concat(toOnly, toSix), observed: &observed{pods: 5, told: told}},
		"a policy that begins to wait":       {updated: toOnly, observed: &observed{pods: 5, told: told}, want: waits + told},
		"a policy that waits no more": {
			old: toOnly, observed: &observed{pods: 5, told: told}, want: "this change recreates 5 Pods: " + told,
		},

		"a smaller partition changes more in place": {
			old: rolling("podUpdatePolicy: InPlaceIfPossible, partition: 3"), observed: &observed{pods: 5, atOld: 2},
		},
		"a smaller partition recreates more": {
			old: rolling("podUpdatePolicy: InPlaceIfPossible, partition: 3"), observed: &observed{pods: 5, atOld: 2, told: told},
			want: "this change recreates 3 Pods: " + told,
		},
		"a larger partition recreates no more": {
			updated: rolling("podUpdatePolicy: InPlaceIfPossible, partition: 3"), observed: &observed{pods: 5, atOld: 2, told: told},
		},
		"a running recreation is told once": {updated: toSix, observed: &observed{pods: 5, atOld: 2, told: told}},
		"an image on top of a half-way recreation changes the recreated in place": {
			updated: toImage, observed: &observed{pods: 5, atOld: 2, told: told}, want: "this change recreates 3 Pods: " + told,
		},
		"going back finds the Pods that never left": {
			updated: []string{"[serve]", "[first]"}, observed: &observed{pods: 5, atOld: 2, told: told}, want: "this change recreates 2 Pods: " + command,
		},
	} {
		t.Run(name, func(t *testing.T) {
			five := []string{"replicas: 3", "replicas: 5"}
			old, updated := set(t, scaled(t, base, five, tc.old)), set(t, scaled(t, base, five, tc.updated))
			if tc.observed == nil {
				tc.observed = &observed{pods: 5, atOld: 5}
			}
			old.Status = tc.observed.status(t)
			assert.Equal(t, tc.want, strings.Join(warn(old, updated, inplace.Options{}), "\n"))
		})
	}
}

// Whoever reaches the port can send any status, so the numbers in it must not decide how much memory is taken.
func TestAWarningTakesNoMemoryForEachPod(t *testing.T) {
	million := []string{"replicas: 3", "replicas: 50000000"}
	old, updated := set(t, scaled(t, base, million)), set(t, scaled(t, base, million, toCommand))
	old.Status = (&observed{pods: 50_000_000, atOld: 50_000_000}).status(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	warnings := warn(old, updated, inplace.Options{})
	runtime.ReadMemStats(&after)
	assert.Equal(t, []string{"this change recreates 50000000 Pods: " + command}, warnings)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "bytes")
}

// scaled replaces texts in pairs, one list after the other.
func scaled(t *testing.T, text string, lists ...[]string) string {
	t.Helper()
	for _, list := range lists {
		for i := 0; i+1 < len(list); i += 2 {
			require.Contains(t, text, list[i])
		}
		text = strings.NewReplacer(list...).Replace(text)
	}
	return text
}

// status is as the controllers write it. The current revision is that of a template whose command is "first".
func (o *observed) status(t *testing.T) kruisev1beta1.CloneSetStatus {
	t.Helper()
	first := &corev1.PodTemplateSpec{}
	object := set(t, base, "[serve]", "[first]")
	require.NoError(t, json.Unmarshal(object.Spec.Template, first))
	rev, err := revision.New(revision.Owner{Object: &object.Metadata, Template: first})
	require.NoError(t, err)
	status := kruisev1beta1.CloneSetStatus{Replicas: o.pods, UpdatedReplicas: o.atOld, CurrentRevision: rev.Name}
	if o.told != "" {
		status.Conditions = []kruisev1beta1.CloneSetCondition{{
			Type: kruisev1beta1.CloneSetConditionInPlaceUpdatable, Status: corev1.ConditionFalse, Message: o.told + "; Pods are recreated",
		}}
	}
	return status
}
