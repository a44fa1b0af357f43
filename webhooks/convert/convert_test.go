// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/keelson/keelson/webhooks/convert"
)

const (
	alpha = "apps.kruise.io/v1alpha1"
	beta  = "apps.kruise.io/v1beta1"
)

// bothWays is one CloneSet in both versions.
type bothWays struct{ alpha, beta string }

func (b bothWays) check(t *testing.T) {
	assert.Equal(t, parse(t, b.beta, beta), converted(t, parse(t, b.alpha, alpha), beta), "from v1alpha1")
	assert.Equal(t, parse(t, b.alpha, alpha), converted(t, parse(t, b.beta, beta), alpha), "from v1beta1")
}

func TestStrategies(t *testing.T) {
	tests := map[string]bothWays{
		"what the schema defaults": {
			alpha: `spec: {replicas: 1, scaleStrategy: {disablePVCReuse: false}}`,
			beta:  `spec: {replicas: 1, scaleStrategy: {enablePVCReuse: true}}`,
		},
		"PVCs that are not taken over": {
			alpha: `spec: {scaleStrategy: {disablePVCReuse: true, podsToDelete: [a]}}`,
			beta:  `spec: {scaleStrategy: {enablePVCReuse: false, podsToDelete: [a]}}`,
		},
		"an empty update strategy": {
			alpha: `spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {}}`,
			beta:  `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate}}`,
		},
		"an update in place": {
			alpha: `spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: InPlaceIfPossible, partition: 3, maxUnavailable: 20%, maxSurge: 0,
			  paused: true, priorityStrategy: {orderPriority: [{orderedKey: a}]}, scatterStrategy: [{key: a, value: b}],
			  inPlaceUpdateStrategy: {gracePeriodSeconds: 3}}}`,
			beta: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate, rollingUpdate: {podUpdatePolicy: InPlaceIfPossible, partition: 3, maxUnavailable: 20%, maxSurge: 0,
			  paused: true, priorityStrategy: {orderPriority: [{orderedKey: a}]}, scatterStrategy: [{key: a, value: b}],
			  inPlaceUpdateStrategy: {gracePeriodSeconds: 3}}}}`,
		},
		"on delete keeps the settings that rest": {
			alpha: `spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: OnDelete, partition: 3, maxUnavailable: 20%, maxSurge: 0}}`,
			beta:  `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 3, maxUnavailable: 20%, maxSurge: 0, podUpdatePolicy: ReCreate}}}`,
		},
		"on delete, whose defaults v1alpha1 shows and v1beta1 does not have": {
			alpha: `spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: OnDelete, partition: 0, maxUnavailable: 20%, maxSurge: 0}}`,
			beta:  `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete}}`,
		},
		"on delete with the policy that rests": {
			alpha: `{metadata: {annotations: {apps.kruise.io/v1beta1-fields: '{"spec":{"updateStrategy":{"rollingUpdate":{"podUpdatePolicy":"InPlaceOnly"}}}}'}},
			  spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: OnDelete, partition: 3}}}`,
			beta: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 3, podUpdatePolicy: InPlaceOnly}}}`,
		},
		"on delete with the defaults written out in v1beta1": {
			alpha: `{metadata: {annotations: {apps.kruise.io/v1beta1-fields: '{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":"20%","partition":0,"podUpdatePolicy":"ReCreate"}}}}'}},
			  spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: OnDelete, partition: 0, maxUnavailable: 20%, maxSurge: 0}}}`,
			beta: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 0, maxUnavailable: 20%, maxSurge: 0, podUpdatePolicy: ReCreate}}}`,
		},
		"on delete with pre-download": {
			alpha: `{metadata: {annotations: {apps.kruise.io/image-predownload-parallelism: "3"}},
			  spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: OnDelete, partition: 0, maxUnavailable: 20%, maxSurge: 0}}}`,
			beta: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 0, maxUnavailable: 20%, maxSurge: 0, podUpdatePolicy: ReCreate,
			  inPlaceUpdateStrategy: {imagePreDownloadParallelism: 3}}}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, tc.check)
	}
}

func TestWhatIsSaidElsewhere(t *testing.T) {
	tests := map[string]bothWays{
		"Pods in PreparingDelete that do not count": {
			alpha: `{metadata: {labels: {apps.kruise.io/cloneset-scaling-exclude-preparing-delete: "true", a: b}}, spec: {scaleStrategy: {disablePVCReuse: true}}}`,
			beta:  `{metadata: {labels: {a: b}}, spec: {scaleStrategy: {enablePVCReuse: false, excludePreparingDelete: true}}}`,
		},
		"a label of another value means nothing": {
			alpha: `{metadata: {labels: {apps.kruise.io/cloneset-scaling-exclude-preparing-delete: "yes"}}, spec: {scaleStrategy: {disablePVCReuse: true}}}`,
			beta:  `{metadata: {labels: {apps.kruise.io/cloneset-scaling-exclude-preparing-delete: "yes"}}, spec: {scaleStrategy: {enablePVCReuse: false}}}`,
		},
		"pre-download": {
			alpha: `{metadata: {annotations: {apps.kruise.io/image-predownload-parallelism: 10%, apps.kruise.io/image-predownload-timeout-seconds: "60",
			  apps.kruise.io/image-predownload-min-updated-ready-pods: "2"}}, spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: InPlaceOnly}}}`,
			beta: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate, rollingUpdate: {podUpdatePolicy: InPlaceOnly, inPlaceUpdateStrategy: {
			  imagePreDownloadParallelism: 10%, imagePreDownloadTimeoutSeconds: 60, imagePreDownloadMinUpdatedReadyPods: 2}}}}`,
		},
		"what is kept is written as it is": {
			alpha: `{metadata: {annotations: {apps.kruise.io/v1beta1-fields: '{"spec":{"updateStrategy":{"new":"<&>"}}}'}}, spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {}}}`,
			beta:  `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate, new: "<&>"}}`,
		},
		"pre-download by a number in quotes": {
			alpha: `{metadata: {annotations: {apps.kruise.io/image-predownload-parallelism: "50",
			  apps.kruise.io/v1beta1-fields: '{"spec":{"updateStrategy":{"rollingUpdate":{"inPlaceUpdateStrategy":{"imagePreDownloadParallelism":"050"}}}}}'}},
			  spec: {scaleStrategy: {disablePVCReuse: true}, updateStrategy: {type: InPlaceOnly}}}`,
			beta: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate, rollingUpdate: {podUpdatePolicy: InPlaceOnly,
			  inPlaceUpdateStrategy: {imagePreDownloadParallelism: "050"}}}}`,
		},
		"pre-download that cannot be read": {
			alpha: `{metadata: {annotations: {apps.kruise.io/image-predownload-parallelism: some, apps.kruise.io/image-predownload-timeout-seconds: "-1"}}, spec: {scaleStrategy: {disablePVCReuse: true}}}`,
			beta:  `{metadata: {annotations: {apps.kruise.io/image-predownload-parallelism: some, apps.kruise.io/image-predownload-timeout-seconds: "-1"}}, spec: {scaleStrategy: {enablePVCReuse: false}}}`,
		},
		"a template of the future, a status and all metadata": {
			alpha: `{metadata: {name: web, uid: u, managedFields: [{manager: m}]}, spec: {scaleStrategy: {disablePVCReuse: true}, template: {spec: {new: {field: [1, 2.5]}}}, volumeClaimTemplates: [{new: 1}]}, status: {replicas: 1}}`,
			beta:  `{metadata: {name: web, uid: u, managedFields: [{manager: m}]}, spec: {scaleStrategy: {enablePVCReuse: false}, template: {spec: {new: {field: [1, 2.5]}}}, volumeClaimTemplates: [{new: 1}]}, status: {replicas: 1}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, tc.check)
	}
}

// An edit in one version must win over what was kept of the other.
func TestAnEditWinsOverWhatWasKept(t *testing.T) {
	tests := map[string]struct{ before, edit, want string }{
		"on delete that becomes a rolling update takes the settings of v1alpha1": {
			before: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 3, podUpdatePolicy: InPlaceOnly}}}`,
			edit:   `spec: {updateStrategy: {type: ReCreate}}`,
			want:   `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 3, podUpdatePolicy: ReCreate}}}`,
		},
		"on delete whose partition changes keeps its policy": {
			before: `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 3, podUpdatePolicy: InPlaceOnly}}}`,
			edit:   `spec: {updateStrategy: {partition: 5}}`,
			want:   `spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 5, podUpdatePolicy: InPlaceOnly}}}`,
		},
		"a field that v1beta1 had said in full stays so only where nothing changed": {
			before: `spec: {scaleStrategy: {enablePVCReuse: false, excludePreparingDelete: false}}`,
			edit:   `metadata: {labels: {apps.kruise.io/cloneset-scaling-exclude-preparing-delete: "true"}}`,
			want:   `spec: {scaleStrategy: {enablePVCReuse: false, excludePreparingDelete: true}}`,
		},
		"an annotation that meant nothing in v1beta1 gives way to one that is written in v1alpha1": {
			before: `{metadata: {annotations: {apps.kruise.io/image-predownload-timeout-seconds: "60"}}, spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate}}}`,
			edit:   `metadata: {annotations: {apps.kruise.io/image-predownload-timeout-seconds: "90"}}`,
			want: `{metadata: {annotations: {apps.kruise.io/image-predownload-timeout-seconds: "60"}}, spec: {scaleStrategy: {enablePVCReuse: false}, updateStrategy: {type: RollingUpdate,
			  rollingUpdate: {inPlaceUpdateStrategy: {imagePreDownloadTimeoutSeconds: 90}}}}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := converted(t, parse(t, tc.before, beta), alpha)
			overlay(obj, parse(t, tc.edit, alpha))
			assert.Equal(t, parse(t, tc.want, beta), converted(t, obj, beta))
		})
	}
}

func TestGarbageInOurAnnotationMeansNothing(t *testing.T) {
	plain := converted(t, parse(t, `spec: {updateStrategy: {type: ReCreate, partition: 1}}`, alpha), beta)
	for name, garbage := range map[string]string{
		"no JSON":                `{`,
		"no object":              `[1]`,
		"no object in it":        `{"spec": 1, "labels": null}`,
		"a place of no meaning":  `{"status": {"replicas": 9}, "metadata": {"name": "other"}}`,
		"another meaning":        `{"spec": {"replicas": 9, "updateStrategy": {"rollingUpdate": {"partition": 9}}}}`,
		"a template":             `{"spec": {"template": {"spec": {"hostPID": true}}}}`,
		"a label of its own":     `{"labels": {"a": "b"}}`,
		"a type that is none":    `{"spec": {"updateStrategy": 7, "scaleStrategy": []}}`,
		"the removal of it all":  `{"spec": {"updateStrategy": null}}`,
		"our other annotation":   `{"annotations": {"a": "b"}}`,
		"nothing":                ``,
		"null":                   `null`,
		"a string":               `"spec"`,
		"a deep one of no sense": `{"spec": {"updateStrategy": {"rollingUpdate": {"podUpdatePolicy": {"a": 1}}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			obj := parse(t, `spec: {updateStrategy: {type: ReCreate, partition: 1}}`, alpha)
			obj["metadata"] = map[string]any{"name": "web", "annotations": map[string]any{convert.HubFieldsAnnotation: garbage}}
			assert.Equal(t, plain, converted(t, obj, beta))
		})
	}
}

// The API server does not check what is stored against the schema of v1beta1 when somebody writes v1alpha1.
func TestAnAnnotationBringsNoValueThatTheOtherSchemaRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ strategy, kept string }{
		"a type":                           {strategy: `{type: ReCreate, partition: 1}`, kept: `{"spec":{"updateStrategy":{"type":"Garbage"}}}`},
		"a type that is none":              {strategy: `{type: ReCreate, partition: 1}`, kept: `{"spec":{"updateStrategy":{"type":"InPlaceOnly"}}}`},
		"a policy that rests":              {strategy: `{type: OnDelete, partition: 1}`, kept: `{"spec":{"updateStrategy":{"rollingUpdate":{"podUpdatePolicy":"Garbage"}}}}`},
		"a policy that is another's":       {strategy: `{type: OnDelete, partition: 1}`, kept: `{"spec":{"updateStrategy":{"rollingUpdate":{"podUpdatePolicy":"OnDelete"}}}}`},
		"a number in quotes with too many": {strategy: `{inPlaceUpdateStrategy: {}}`, kept: `{"spec":{"updateStrategy":{"rollingUpdate":{"inPlaceUpdateStrategy":{"imagePreDownloadParallelism":"0000000005"}}}}}`},
		"a number in quotes with a sign":   {strategy: `{inPlaceUpdateStrategy: {}}`, kept: `{"spec":{"updateStrategy":{"rollingUpdate":{"inPlaceUpdateStrategy":{"imagePreDownloadParallelism":"+5"}}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]any{"apps.kruise.io/image-predownload-parallelism": "5"}
			obj := parse(t, "spec: {updateStrategy: "+tc.strategy+"}", alpha)
			obj["metadata"] = map[string]any{"name": "web", "annotations": annotations}
			plain := converted(t, obj, beta)
			annotations[convert.HubFieldsAnnotation] = tc.kept
			assert.Equal(t, plain, converted(t, obj, beta))
		})
	}
	for _, text := range []string{"0000000010%", "1073741823%", "%", "-1%"} {
		obj := parse(t, `spec: {}`, alpha)
		obj["metadata"] = map[string]any{"name": "web", "annotations": map[string]any{"apps.kruise.io/image-predownload-parallelism": text}}
		hub := converted(t, obj, beta)
		assert.NotContains(t, bytes(t, hub), "imagePreDownloadParallelism", text)
	}
}

func TestCloneSetRefuses(t *testing.T) {
	tests := map[string]struct{ obj, from, to, wantErr string }{
		"an unknown version":         {obj: `{}`, from: alpha, to: "apps.kruise.io/v1", wantErr: `unknown desired apiVersion "apps.kruise.io/v1"`},
		"an object of another group": {obj: `{}`, from: "apps/v1", to: beta, wantErr: `unknown apiVersion "apps/v1"`},
		"a spec that is a list":      {obj: `spec: []`, from: alpha, to: beta, wantErr: "reading spec: it must be an object"},
		"labels that are a list":     {obj: `metadata: {labels: []}`, from: alpha, to: beta, wantErr: "reading metadata: reading labels: it must be an object"},
		"a type that is a number":    {obj: `spec: {updateStrategy: {type: 1}}`, from: alpha, to: beta, wantErr: "reading spec.updateStrategy: reading type: it must be a string"},
		"a boolean that is a string": {obj: `spec: {scaleStrategy: {enablePVCReuse: "yes"}}`, from: beta, to: alpha, wantErr: "reading spec.scaleStrategy: reading enablePVCReuse: it must be a boolean"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := parse(t, tc.obj, tc.from)
			before := bytes(t, obj)
			require.ErrorContains(t, convert.CloneSet(t.Context(), obj, tc.to), tc.wantErr)
			assert.Equal(t, before, bytes(t, obj), "the object is as it was")
		})
	}
}

func parse(t *testing.T, text, version string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	obj := map[string]any{}
	require.NoError(t, utiljson.Unmarshal(raw, &obj))
	obj["apiVersion"], obj["kind"] = version, "CloneSet"
	if metadata, ok := obj["metadata"].(map[string]any); ok {
		metadata["name"] = "web"
	} else {
		obj["metadata"] = map[string]any{"name": "web"}
	}
	return obj
}

func converted(t *testing.T, obj map[string]any, version string) map[string]any {
	t.Helper()
	result := map[string]any{}
	require.NoError(t, utiljson.Unmarshal([]byte(bytes(t, obj)), &result))
	require.NoError(t, convert.CloneSet(t.Context(), result, version))
	return result
}

func bytes(t *testing.T, obj map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(obj)
	require.NoError(t, err)
	return string(raw)
}

func overlay(to, from map[string]any) {
	for key, value := range from {
		deeper, isMap := value.(map[string]any)
		target, hasMap := to[key].(map[string]any)
		if isMap && hasMap {
			overlay(target, deeper)
			continue
		}
		to[key] = value
	}
}
