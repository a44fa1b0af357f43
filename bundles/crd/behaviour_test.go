// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

func TestDefaults(t *testing.T) {
	tests := map[string]struct {
		patch string
		want  map[string]any
	}{
		"a spec that says nothing": {
			patch: `spec: {replicas: null}`,
			want: map[string]any{
				"replicas": int64(1), "revisionHistoryLimit": int64(10),
				"scaleStrategy":  map[string]any{"enablePVCReuse": false},
				"updateStrategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": rolling(0)},
			},
		},
		"settings of a rolling update": {
			patch: `spec: {updateStrategy: {rollingUpdate: {partition: 1}}}`,
			want: map[string]any{
				"replicas": int64(5), "revisionHistoryLimit": int64(10),
				"scaleStrategy": map[string]any{"enablePVCReuse": false},
				"updateStrategy": map[string]any{
					"type": "RollingUpdate", "rollingUpdate": rolling(1),
				},
			},
		},
		"on delete gets no settings of a rolling update": {
			patch: `spec: {replicas: 0, revisionHistoryLimit: 0, scaleStrategy: {enablePVCReuse: true}, updateStrategy: {type: OnDelete}}`,
			want: map[string]any{
				"replicas": int64(0), "revisionHistoryLimit": int64(0),
				"scaleStrategy":  map[string]any{"enablePVCReuse": true},
				"updateStrategy": map[string]any{"type": "OnDelete"},
			},
		},
	}
	c := newClient(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := cloneSet(t, tc.patch)
			template := obj.Object["spec"].(map[string]any)["template"]
			require.NoError(t, c.Create(t.Context(), obj, client.DryRunAll))
			got := obj.Object["spec"].(map[string]any)
			assert.Equal(t, template, got["template"], "the template stays as written")
			delete(got, "template")
			delete(got, "selector")
			assert.Equal(t, tc.want, got)
		})
	}
}

// rolling are the settings of a rolling update, by default but for the partition.
func rolling(partition int64) map[string]any {
	return map[string]any{"partition": partition, "maxUnavailable": "20%", "maxSurge": int64(0), "podUpdatePolicy": "ReCreate"}
}

// A field that this version of Keelson, and the Kubernetes it was built with, has never heard of is kept wherever it stands.
func TestUnknownFieldsOfATemplateAreKept(t *testing.T) {
	c := newClient(t)
	obj := cloneSet(t, `
metadata: {name: unknown}
spec:
  unknown: gone
  template:
    unknown: kept
    metadata: {unknown: kept, annotations: {a: b}}
    spec:
      unknown: {deep: [kept]}
      containers:
      - name: main
        unknown: kept
        ports: [{containerPort: 80, unknown: kept}]
        env: [{name: A, unknown: kept, valueFrom: {unknown: kept}}]
        volumeMounts: [{mountPath: /a, name: a, unknown: kept}]
      volumes: [{name: a, unknown: {a: kept}}]
      imagePullSecrets: [{name: a, unknown: kept}]
  volumeClaimTemplates:
  - metadata: {name: a, unknown: kept}
    spec: {unknown: kept}`)
	want := obj.DeepCopy().Object["spec"].(map[string]any)
	require.NoError(t, c.Create(t.Context(), obj))

	got := obj.Object["spec"].(map[string]any)
	assert.Equal(t, want["template"], got["template"])
	assert.Equal(t, want["volumeClaimTemplates"], got["volumeClaimTemplates"])
	assert.NotContains(t, got, "unknown", "outside of templates the API server prunes")
}

func TestTwoManagersOwnEntriesOfOneContainer(t *testing.T) {
	c := newClient(t)
	apply := func(manager, patch string) error {
		obj := &unstructured.Unstructured{Object: cloneSet(t, patch).Object}
		return c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner(manager))
	}
	require.NoError(t, apply("git", `
metadata: {name: owned}
spec: {template: {spec: {containers: [{name: main, image: web:v1, env: [{name: A, value: "1"}], volumeMounts: [{name: a, mountPath: /a}]}],
  volumes: [{name: a, emptyDir: {}}]}}}`))
	require.NoError(t, apply("injector", `
metadata: {name: owned}
spec: {replicas: null, selector: {matchLabels: {app: web}}, template: {spec: {
  containers: [{name: main, image: null, env: [{name: B, value: "2"}]}, {name: side, image: side:v1}], volumes: [{name: b, emptyDir: {}}]}}}`))

	obj := cloneSet(t, `metadata: {name: owned}`)
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	containers, _, err := unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
	require.NoError(t, err)
	assert.Equal(t, []any{
		map[string]any{
			"name": "main", "image": "web:v1",
			"env":          []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "B", "value": "2"}},
			"volumeMounts": []any{map[string]any{"name": "a", "mountPath": "/a"}},
		},
		map[string]any{"name": "side", "image": "side:v1"},
	}, containers)

	require.ErrorContains(t, apply("injector", `
metadata: {name: owned}
spec: {template: {spec: {containers: [{name: main, env: [{name: A, value: "3"}]}]}}}`), `conflict with "git"`)

	require.NoError(t, apply("git", `
metadata: {name: owned}
spec: {template: {spec: {containers: [{name: main, image: web:v2}]}}}`), "what git no longer names is taken away")
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	containers, _, err = unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"name": "main", "image": "web:v2", "env": []any{map[string]any{"name": "B", "value": "2"}},
	}, containers[0])
}

func TestScaleSubresource(t *testing.T) {
	c := newClient(t)
	require.NoError(t, kruisev1beta1.AddToScheme(c.Scheme()))
	obj := cloneSet(t, `metadata: {name: scaled}`)
	require.NoError(t, c.Create(t.Context(), obj))
	obj.Object["status"] = map[string]any{
		"replicas": int64(4), "readyReplicas": int64(0), "availableReplicas": int64(0), "updatedReplicas": int64(0),
		"updatedReadyReplicas": int64(0), "labelSelector": "app=web",
	}
	require.NoError(t, c.Status().Update(t.Context(), obj))

	typed := &kruisev1beta1.CloneSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "scaled"}}
	scale := &autoscalingv1.Scale{}
	require.NoError(t, c.SubResource("scale").Get(t.Context(), typed, scale))
	assert.EqualValues(t, 5, scale.Spec.Replicas)
	assert.EqualValues(t, 4, scale.Status.Replicas)
	assert.Equal(t, "app=web", scale.Status.Selector)

	scale.Spec.Replicas = 7
	require.NoError(t, c.SubResource("scale").Update(t.Context(), typed, client.WithSubResourceBody(scale)))
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	replicas, _, err := unstructured.NestedInt64(obj.Object, "spec", "replicas")
	require.NoError(t, err)
	assert.EqualValues(t, 7, replicas)
	assert.EqualValues(t, 2, obj.GetGeneration())
}

// A typed client writes every zero of the status, so that nobody has to guess whether a number is 0 or unknown.
func TestStatusShowsZeros(t *testing.T) {
	c := newClient(t)
	require.NoError(t, kruisev1beta1.AddToScheme(c.Scheme()))
	obj := cloneSet(t, `metadata: {name: zeros}`)
	require.NoError(t, c.Create(t.Context(), obj))
	typed := &kruisev1beta1.CloneSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "zeros"}}
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(typed), typed))
	require.NoError(t, c.Status().Update(t.Context(), typed))

	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	status := obj.Object["status"].(map[string]any)
	for _, field := range []string{
		"observedGeneration", "replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "updatedReadyReplicas",
		"updatedAvailableReplicas", "expectedUpdatedReplicas",
	} {
		assert.Equal(t, int64(0), status[field], field)
	}
}

// What is applied is what the API server keeps: a second look finds nothing to change.
func TestTheFileRoundTrips(t *testing.T) {
	c := newClient(t)
	want, err := readCRD()
	require.NoError(t, err)
	applied, err := readCRD()
	require.NoError(t, err)
	require.NoError(t, c.Get(t.Context(), types.NamespacedName{Name: want.Name}, applied))
	applied.Spec, applied.Labels, applied.Annotations = want.Spec, want.Labels, want.Annotations
	require.NoError(t, c.Update(t.Context(), applied, client.DryRunAll))
	assert.Equal(t, want.Spec, applied.Spec)
	assert.Equal(t, want.Labels, applied.Labels)

	assert.Equal(t, map[string]string{
		"argocd.argoproj.io/sync-options":       "ServerSideApply=true,Prune=false,Delete=confirm",
		"controller-gen.kubebuilder.io/version": "v0.21.0",
	}, want.Annotations)
	assert.Equal(t, apiextensionsv1.WebhookConverter, want.Spec.Conversion.Strategy)
	assert.Empty(t, want.Spec.Conversion.Webhook.ClientConfig.CABundle)
}
