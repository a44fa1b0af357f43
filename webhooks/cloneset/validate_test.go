// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// base is a CloneSet that nobody objects to.
const base = `
metadata: {name: web, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      containers:
      - {name: main, image: "web:1", command: [serve]}
  updateStrategy:
    rollingUpdate: {podUpdatePolicy: InPlaceIfPossible}
`

// set reads a CloneSet from YAML, after replacing texts in pairs.
func set(t *testing.T, text string, replacements ...string) *object {
	t.Helper()
	for i := 0; i+1 < len(replacements); i += 2 {
		require.Contains(t, text, replacements[i])
	}
	raw, err := yaml.YAMLToJSON([]byte(strings.NewReplacer(replacements...).Replace(text)))
	require.NoError(t, err)
	o, err := read(t.Context(), raw)
	require.NoError(t, err)
	return o
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		replace []string
		want    []string
	}{
		"a plain CloneSet is fine": {},
		"an expression that matches is fine": {
			replace: []string{"{matchLabels: {app: web}}", "{matchExpressions: [{key: tier, operator: In, values: [front, back]}]}"},
		},
		"an expression that does not match names the labels": {
			replace: []string{"{matchLabels: {app: web}}", "{matchExpressions: [{key: tier, operator: DoesNotExist}]}"},
			want:    []string{"spec.template.metadata.labels: Invalid value", "they must match spec.selector"},
		},
		"a label that is missing names the labels": {
			replace: []string{"{app: web, tier: front}", "{tier: front}"},
			want:    []string{"spec.template.metadata.labels: Invalid value"},
		},
		"labels of a wrong type name the labels": {
			replace: []string{"{app: web, tier: front}", "[app]"},
			want:    []string{"spec.template.metadata.labels: Invalid value"},
		},
		"an operator that does not exist names the selector": {
			replace: []string{"{matchLabels: {app: web}}", "{matchExpressions: [{key: app, operator: Like, values: [w]}]}"},
			want:    []string{"spec.selector: Invalid value", "Like"},
		},
		"a value that no label can have names the selector": {
			replace: []string{"{matchLabels: {app: web}}", `{matchLabels: {app: "not a label"}}`},
			want:    []string{"spec.selector: Invalid value"},
		},
		"an empty selector names the selector": {
			replace: []string{"{matchLabels: {app: web}}", "{}"},
			want:    []string{"spec.selector: Required value"},
		},
		"two claim templates of one name name the second": {
			replace: []string{"  updateStrategy:", "  volumeClaimTemplates: [{metadata: {name: data}}, {metadata: {name: data}}]\n  updateStrategy:"},
			want:    []string{"spec.volumeClaimTemplates[1].metadata.name: Duplicate value"},
		},
		"a claim template with a field of a newer Kubernetes is fine": {
			replace: claims(`{metadata: {name: data}, spec: {resources: {requests: {storage: 1Gi}}, ofTheFuture: 1}}`),
		},
		"a size that is none names its claim template": {
			replace: claims(`{metadata: {name: logs}}, {metadata: {name: data}, spec: {resources: {requests: {storage: lots}}}}`),
			want:    []string{"spec.volumeClaimTemplates[1]: Invalid value", "it must be a PersistentVolumeClaim", "quantities"},
		},
		"a claim template that is none names itself": {
			replace: claims(`{metadata: {name: data}, spec: foo}`), want: []string{"spec.volumeClaimTemplates[0]: Invalid value"},
		},
		"a name that is no text names its claim template": {
			replace: claims(`{metadata: {name: 5}}`), want: []string{"spec.volumeClaimTemplates[0]: Invalid value"},
		},
		"more claim templates than the schema allows are not looked at": {
			replace: claims(strings.Repeat(`{metadata: {name: data}}, `, 257)), want: []string{"spec.volumeClaimTemplates: Too many: 257: must have at most 256 items"},
		},
		"a weight whose selector cannot be read names the selector": {
			replace: []string{"{podUpdatePolicy: InPlaceIfPossible}",
				"{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {matchExpressions: [{key: a, operator: In}]}}]}}"},
			want: []string{"spec.updateStrategy.rollingUpdate.priorityStrategy.weightPriority[0].matchSelector: Invalid value"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken := set(t, base, tc.replace...)
			err := validate(nil, broken).ToAggregate()
			if len(tc.want) == 0 {
				require.NoError(t, err)
				return
			}
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
			scaled := set(t, base, append([]string{"replicas: 3", "replicas: 4"}, tc.replace...)...)
			assert.Empty(t, validate(broken, scaled), "what an update does not touch is not judged again")
		})
	}
}

// claims replaces the base's lack of claim templates.
func claims(list string) []string {
	return []string{"  updateStrategy:", "  volumeClaimTemplates: [" + list + "]\n  updateStrategy:"}
}

func TestTheClusterIsAskedOnlyAboutWhatChanged(t *testing.T) {
	old := set(t, base)
	for name, tc := range map[string]struct {
		old     *object
		replace []string
		want    bool
	}{
		"a new CloneSet":        {want: true},
		"a scaled one":          {old: old, replace: []string{"replicas: 3", "replicas: 4"}},
		"another order of keys": {old: old, replace: []string{`{name: main, image: "web:1", command: [serve]}`, `{command: [serve], image: "web:1", name: main}`}},
		"another image":         {old: old, replace: []string{"web:1", "web:2"}, want: true},
		"a claim of another size": {
			old: set(t, base, claims(`{metadata: {name: data}, spec: {storageClassName: slow}}`)...), replace: claims(`{metadata: {name: data}, spec: {storageClassName: fast}}`),
		},
		"another claim": {old: old, replace: []string{"  updateStrategy:", "  volumeClaimTemplates: [{metadata: {name: data}}]\n  updateStrategy:"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, wantsTemplateCheck(tc.old, set(t, base, tc.replace...)))
		})
	}
}
