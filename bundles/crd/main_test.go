// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd_test asks a real API server what it makes of the CRDs.
package crd_test

import (
	"fmt"
	"os"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

const crdFile = "apps.kruise.io_clonesets.yaml"

// server is the API server that all tests of the package share; it is written once, before they run.
var server *rest.Config

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a folder with kube-apiserver and etcd: run make envtest")
		return 1
	}
	// Both versions are asked here without our programs: conversion changes nothing but the version.
	crd, err := readCRD()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	env := &envtest.Environment{CRDs: []*apiextensionsv1.CustomResourceDefinition{crd}}
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
	return m.Run()
}

func readCRD() (*apiextensionsv1.CustomResourceDefinition, error) {
	text, err := os.ReadFile(crdFile)
	if err != nil {
		return nil, err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	return crd, yaml.UnmarshalStrict(text, crd)
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, apiextensionsv1.AddToScheme(scheme))
	c, err := client.New(server, client.Options{Scheme: scheme})
	require.NoError(t, err)
	return c
}

const base = `
apiVersion: apps.kruise.io/v1beta1
kind: CloneSet
metadata:
  namespace: default
  name: web
spec:
  replicas: 5
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web, tier: front}
    spec:
      containers:
      - name: main
        image: web:v1
`

// cloneSet returns the base object with a merge patch, in YAML, applied to it.
func cloneSet(t *testing.T, patch string) *unstructured.Unstructured {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(base))
	require.NoError(t, err)
	changes, err := yaml.YAMLToJSON([]byte(patch))
	require.NoError(t, err)
	if string(changes) != "null" {
		text, err = jsonpatch.MergePatch(text, changes)
		require.NoError(t, err)
	}
	obj := &unstructured.Unstructured{}
	require.NoError(t, obj.UnmarshalJSON(text))
	return obj
}
