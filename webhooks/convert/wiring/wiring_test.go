// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wiring_test lets a real API server convert CloneSets through the handler.
package wiring_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/keelson/keelson/webhooks/convert"
)

// server is the API server that all tests of the package share, and environment what runs it; they are written once, before the tests run.
var (
	server      *rest.Config
	environment *envtest.Environment
)

// isDown makes the handler drop every connection, as if its program were gone.
var isDown atomic.Bool

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a folder with kube-apiserver and etcd: run make envtest")
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/convert", func(w http.ResponseWriter, r *http.Request) {
		if isDown.Load() {
			panic(http.ErrAbortHandler)
		}
		convert.Handler().ServeHTTP(w, r)
	})
	webhook := httptest.NewTLSServer(mux)
	defer webhook.Close()

	crd, err := crdWith(webhook)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	env := &envtest.Environment{}
	environment = env
	server, err = env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server:", err)
		return 1
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	if err := install(crd); err != nil {
		fmt.Fprintln(os.Stderr, "installing the CRD:", err)
		return 1
	}
	return m.Run()
}

// install creates the CRD as it is: envtest would take its conversion away.
func install(crd *apiextensionsv1.CustomResourceDefinition) error {
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return err
	}
	c, err := client.New(server, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	if err := c.Create(context.Background(), crd.DeepCopy()); err != nil {
		return err
	}
	return envtest.WaitForCRDs(server, []*apiextensionsv1.CustomResourceDefinition{crd}, envtest.CRDInstallOptions{
		MaxTime: 30 * time.Second, PollInterval: 100 * time.Millisecond,
	})
}

// crdWith is the shipped CRD, except that the API server finds the handler at a local address instead of in a Service.
func crdWith(webhook *httptest.Server) (*apiextensionsv1.CustomResourceDefinition, error) {
	text, err := os.ReadFile("../../../bundles/crd/apps.kruise.io_clonesets.yaml")
	if err != nil {
		return nil, err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, crd); err != nil {
		return nil, err
	}
	path := crd.Spec.Conversion.Webhook.ClientConfig.Service.Path
	crd.Spec.Conversion.Webhook.ClientConfig = &apiextensionsv1.WebhookClientConfig{
		URL:      ptr.To(webhook.URL + *path),
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: webhook.Certificate().Raw}),
	}
	return crd, nil
}

const manifest = `
apiVersion: apps.kruise.io/v1alpha1
kind: CloneSet
metadata:
  namespace: default
  name: NAME
  labels: {apps.kruise.io/cloneset-scaling-exclude-preparing-delete: "true"}
  annotations: {apps.kruise.io/image-predownload-parallelism: "3"}
spec:
  replicas: 5
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: web:v1, newField: {of: kubernetes}}]
  updateStrategy:
    type: InPlaceIfPossible
    maxUnavailable: 20%
    inPlaceUpdateStrategy: {gracePeriodSeconds: 3}
`

func TestWrittenInOneVersionReadInBoth(t *testing.T) {
	c := newClient(t)
	obj := read(t, manifest, "both")
	want := obj.DeepCopy()
	require.NoError(t, c.Create(t.Context(), obj))
	require.NoError(t, unstructured.SetNestedField(want.Object, false, "spec", "scaleStrategy", "disablePVCReuse"))
	require.NoError(t, unstructured.SetNestedField(want.Object, int64(10), "spec", "revisionHistoryLimit"))
	require.NoError(t, unstructured.SetNestedField(want.Object, int64(0), "spec", "updateStrategy", "partition"))
	require.NoError(t, unstructured.SetNestedField(want.Object, int64(0), "spec", "updateStrategy", "maxSurge"))

	got := get(t, c, "v1alpha1", "both")
	assert.Equal(t, want.Object["spec"], got.Object["spec"])
	assert.Equal(t, want.GetLabels(), got.GetLabels())
	assert.Equal(t, want.GetAnnotations(), got.GetAnnotations(), "nothing of ours is left on it")

	hub := get(t, c, "v1beta1", "both")
	assert.Empty(t, hub.GetAnnotations(), "nothing had to be kept")
	assert.Empty(t, hub.GetLabels())
	assert.Equal(t, map[string]any{"enablePVCReuse": true, "excludePreparingDelete": true}, hub.Object["spec"].(map[string]any)["scaleStrategy"])
	assert.Equal(t, map[string]any{
		"type": "RollingUpdate",
		"rollingUpdate": map[string]any{
			"podUpdatePolicy": "InPlaceIfPossible", "partition": int64(0), "maxUnavailable": "20%", "maxSurge": int64(0),
			"inPlaceUpdateStrategy": map[string]any{"gracePeriodSeconds": int64(3), "imagePreDownloadParallelism": int64(3)},
		},
	}, hub.Object["spec"].(map[string]any)["updateStrategy"])
	assert.Equal(t, want.Object["spec"].(map[string]any)["template"], hub.Object["spec"].(map[string]any)["template"])
}

func TestOnDeleteKeepsItsSettingsThroughTheOtherVersion(t *testing.T) {
	c := newClient(t)
	obj := read(t, manifest, "kept")
	obj.SetAPIVersion("apps.kruise.io/v1beta1")
	obj.SetLabels(nil)
	obj.SetAnnotations(nil)
	want := map[string]any{"type": "OnDelete", "rollingUpdate": map[string]any{"podUpdatePolicy": "InPlaceOnly", "partition": int64(3)}}
	require.NoError(t, unstructured.SetNestedMap(obj.Object, want, "spec", "updateStrategy"))
	require.NoError(t, c.Create(t.Context(), obj))
	want["rollingUpdate"].(map[string]any)["maxUnavailable"], want["rollingUpdate"].(map[string]any)["maxSurge"] = "20%", int64(0)

	spoke := get(t, c, "v1alpha1", "kept")
	assert.Equal(t, map[string]any{"type": "OnDelete", "partition": int64(3), "maxUnavailable": "20%", "maxSurge": int64(0)}, spoke.Object["spec"].(map[string]any)["updateStrategy"])
	require.NoError(t, unstructured.SetNestedField(spoke.Object, int64(7), "spec", "replicas"))
	require.NoError(t, c.Update(t.Context(), spoke))

	hub := get(t, c, "v1beta1", "kept")
	assert.Equal(t, want, hub.Object["spec"].(map[string]any)["updateStrategy"])
	assert.Equal(t, int64(7), hub.Object["spec"].(map[string]any)["replicas"])
	assert.Empty(t, hub.GetAnnotations())
}

// What GitOps does all day: the same manifest, again and again, in the version that it was written in.
func TestApplyingAgainChangesNothing(t *testing.T) {
	for _, version := range []string{"v1alpha1", "v1beta1"} {
		t.Run(version, func(t *testing.T) {
			c := newClient(t)
			name := "again-" + version
			apply := func() *unstructured.Unstructured {
				obj := read(t, manifest, name)
				if version == "v1beta1" {
					obj.SetAPIVersion("apps.kruise.io/v1beta1")
					strategy := map[string]any{"rollingUpdate": map[string]any{"partition": "50%"}}
					require.NoError(t, unstructured.SetNestedMap(obj.Object, strategy, "spec", "updateStrategy"))
				}
				require.NoError(t, c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner("git")))
				return get(t, c, version, name)
			}
			first := apply()
			assert.Equal(t, first.GetResourceVersion(), apply().GetResourceVersion())

			// Somebody writes through the other version what Git does not speak of.
			other := get(t, c, map[string]string{"v1alpha1": "v1beta1", "v1beta1": "v1alpha1"}[version], name)
			require.NoError(t, unstructured.SetNestedField(other.Object, int64(4), "spec", "minReadySeconds"))
			require.NoError(t, c.Update(t.Context(), other))
			second := apply()
			assert.Equal(t, int64(4), second.Object["spec"].(map[string]any)["minReadySeconds"])
			assert.Equal(t, second.GetResourceVersion(), apply().GetResourceVersion())

			delete(second.Object["spec"].(map[string]any), "minReadySeconds")
			assert.Equal(t, first.Object["spec"], second.Object["spec"])
			assert.Equal(t, first.GetAnnotations(), second.GetAnnotations())
		})
	}
}

// Without our programs the stored version can be read, written and deleted, even where the old version was used before.
func TestTheStoredVersionNeedsNobody(t *testing.T) {
	c := newClient(t)
	require.NoError(t, c.Create(t.Context(), read(t, manifest, "alone"), client.FieldOwner("git")))
	isDown.Store(true)
	t.Cleanup(func() { isDown.Store(false) })

	obj := get(t, c, "v1beta1", "alone")
	status := `{"status":{"replicas":1,"readyReplicas":0,"availableReplicas":0,"updatedReplicas":0,"updatedReadyReplicas":0}}`
	require.NoError(t, c.Status().Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(status))))
	require.NoError(t, unstructured.SetNestedField(obj.Object, int64(2), "spec", "replicas"))
	require.NoError(t, c.Update(t.Context(), obj))
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(obj.GroupVersionKind())
	require.NoError(t, c.List(t.Context(), all))
	assert.NotEmpty(t, all.Items)

	old := obj.DeepCopy()
	old.SetAPIVersion("apps.kruise.io/v1alpha1")
	require.ErrorContains(t, c.Get(t.Context(), client.ObjectKeyFromObject(old), old), "conversion webhook")

	require.NoError(t, c.Delete(t.Context(), obj))
	require.True(t, apierrors.IsNotFound(c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)))
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(server, client.Options{})
	require.NoError(t, err)
	return c
}

func read(t *testing.T, text, name string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	obj := &unstructured.Unstructured{}
	require.NoError(t, obj.UnmarshalJSON(raw))
	obj.SetName(name)
	return obj
}

func get(t *testing.T, c client.Client, version, name string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	obj.SetAPIVersion("apps.kruise.io/" + version)
	obj.SetKind("CloneSet")
	require.NoError(t, c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, obj))
	return obj
}
