// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// takesOver starts the controllers on what OpenKruise 1.9 left in a real API server.
func takesOver(t *testing.T, w *world) {
	atRest := map[string]*kruisev1beta1.CloneSet{}
	for _, name := range []string{"settled", "short"} {
		atRest[name] = inherit(name).create(t, w)
	}
	halfway := inherit("halfway").create(t, w)
	before, was := map[string][]corev1.Pod{}, map[string][]appsv1.ControllerRevision{}
	for name, set := range atRest {
		before[name], was[name] = w.mustPods(t, set), w.revisions(t, set)
	}
	uidsBefore := uids(w.mustPods(t, halfway))
	w.playKubelet(t, halfway.Namespace)

	w.startControllers(t)
	for name, set := range atRest {
		eventually(t, name+" is found at rest", w.isReady(set))
		staysAsItIs(t, w, set)
		assert.Equal(t, before[name], w.mustPods(t, set), "%s: not one Pod is written to", name)
		assert.Equal(t, was[name], w.revisions(t, set), "%s: no revision is made or changed", name)
	}
	eventually(t, "the rollout that was left half-way is complete", func(ctx context.Context) (bool, string) {
		ready, last := w.isReady(halfway)(ctx)
		return ready && halfway.Status.UpdatedReplicas == 7, last
	})
	assert.Equal(t, uidsBefore, uids(w.mustPods(t, halfway)), "not one Pod is replaced")
	assert.Len(t, w.revisions(t, halfway), 2, "no revision is made")
	for _, c := range halfway.Status.Conditions {
		assert.NotEqual(t, kruisev1beta1.CloneSetConditionFailedUpdate, c.Type, "a failure that is long over is not told of")
	}
}

// create brings an inheritance into a namespace of its own, statuses included.
func (i *inheritance) create(t *testing.T, w *world) *kruisev1beta1.CloneSet {
	t.Helper()
	namespace := w.namespace(t)
	set := i.set.DeepCopy()
	set.Namespace = namespace
	require.NoError(t, w.Create(t.Context(), set))
	set.Status = i.set.Status
	require.NoError(t, w.Status().Update(t.Context(), set))
	for _, rev := range i.revisions {
		require.NoError(t, w.Create(t.Context(), adopted(rev.DeepCopy(), set)))
	}
	for _, found := range i.pods {
		pod := found.DeepCopy()
		require.NoError(t, w.Create(t.Context(), adopted(pod, set)))
		pod.Status = found.Status
		require.NoError(t, w.Status().Update(t.Context(), pod))
	}
	return set
}

// adopted is an object of the inheritance in the namespace and under the UID that its set has now.
func adopted[T client.Object](object T, set *kruisev1beta1.CloneSet) T {
	object.SetNamespace(set.Namespace)
	owners := object.GetOwnerReferences()
	for i := range owners {
		owners[i].UID = set.UID
	}
	object.SetOwnerReferences(owners)
	return object
}

func (w *world) mustPods(t *testing.T, set *kruisev1beta1.CloneSet) []corev1.Pod {
	t.Helper()
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	return pods
}

func (w *world) revisions(t *testing.T, set *kruisev1beta1.CloneSet) []appsv1.ControllerRevision {
	t.Helper()
	var list appsv1.ControllerRevisionList
	require.NoError(t, w.List(t.Context(), &list, client.InNamespace(set.Namespace)))
	return list.Items
}

// rich has every field for which Kubernetes knows a default, left out.
const rich = `
metadata: {labels: {app: web}}
spec:
  serviceAccountName: somebody
  initContainers:
  - {name: first, image: "tool:1"}
  - {name: latest, image: "localhost:5000/tool"}
  - {name: pinned, image: "tool@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
  containers:
  - name: main
    image: web:1
    imagePullPolicy: Always
    ports: [{containerPort: 80}]
    env:
    - {name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: FILE, valueFrom: {fileKeyRef: {volumeName: nothing, path: a, key: A}}}
    livenessProbe: {httpGet: {port: 80}}
    readinessProbe: {tcpSocket: {port: 80}}
    startupProbe: {grpc: {port: 80}}
    lifecycle: {preStop: {httpGet: {port: 80}}, postStart: {httpGet: {port: 80}}}
    resources: {limits: {cpu: "1", memory: 1Gi}}
  volumes:
  - {name: nothing}
  - {name: config, configMap: {name: a}}
  - {name: secret, secret: {secretName: a}}
  - {name: host, hostPath: {path: /a}}
  - {name: down, downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}]}}
  - name: all
    projected:
      sources:
      - {serviceAccountToken: {path: a}}
      - {downwardAPI: {items: [{path: b, fieldRef: {fieldPath: metadata.name}}]}}
  - {name: iscsi, iscsi: {targetPortal: "10.0.0.1:3260", iqn: "iqn.2001-04.com.example:disk", lun: 0}}
  - {name: rbd, rbd: {monitors: ["10.0.0.1"], image: a}}
  - {name: scale-io, scaleIO: {gateway: "https://a", system: a, secretRef: {name: a}, volumeName: a}}
  - {name: azure, azureDisk: {diskName: a, diskURI: "https://blob.core.windows.net/a"}}
  - name: own
    ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}
`

// knowsDefaults asks a real API server whether the defaults are those that templates are compared with.
func knowsDefaults(t *testing.T, w *world) {
	template := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "rich"}}
	require.NoError(t, yaml.UnmarshalStrict([]byte(rich), &template.Template))
	written := template.Template.DeepCopy()
	require.NoError(t, w.Create(t.Context(), template, client.DryRunAll))
	require.False(t, equality.Semantic.DeepEqual(written, &template.Template), "the API server writes defaults")
	assert.True(t, pods.MakeSame(pods.Normal(written), pods.Normal(&template.Template)), "and they mean the same")
	normal := pods.Normal(written)
	assert.Equal(t, normal, pods.Normal(normal))
	// What only a Pod is given is filled in beside them, and pull policies are left alone.
	normal.Spec.EnableServiceLinks, normal.Spec.Containers[0].Resources.Requests = nil, nil
	pods.EqualizePullPolicies(&normal.Spec, &template.Template.Spec)
	assert.Equal(t, &template.Template, normal, "nothing else is made up")
}
