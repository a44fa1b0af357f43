// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keelson/keelson/webhooks/convert"
)

// strangers is a policy of somebody else for all PodTemplates. It denies as policies do when nobody chooses a reason, as if the object were invalid.
const strangers = `
- apiVersion: admissionregistration.k8s.io/v1
  kind: ValidatingAdmissionPolicy
  metadata: {name: owned}
  spec:
    matchConstraints:
      resourceRules:
      - {apiGroups: [""], apiVersions: [v1], resources: [podtemplates], operations: [CREATE]}
    validations:
    - expression: "'owner' in object.metadata.?labels.orValue({})"
      message: PodTemplates have an owner here
      reason: Invalid
- apiVersion: admissionregistration.k8s.io/v1
  kind: ValidatingAdmissionPolicyBinding
  metadata: {name: owned}
  spec: {policyName: owned, validationActions: [Deny]}
`

func strangersRules(w *world, _ []*replica) {
	var objects []map[string]any
	unmarshal(w.T, strangers, &objects)
	for _, object := range objects {
		require.NoError(w, w.Create(w.Context(), &unstructured.Unstructured{Object: object}))
		defer func() { require.NoError(w, w.Delete(w.Context(), &unstructured.Unstructured{Object: object})) }()
	}
	w.eventually("the policy holds", func() error {
		err := w.Create(w.Context(), &corev1.PodTemplate{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "x-", Namespace: "default"},
			Template:   corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}},
		}, client.DryRunAll)
		if !apierrors.IsInvalid(err) {
			return fmt.Errorf("it does not deny, but: %w", errors.Join(err, errors.New("no denial")))
		}
		return nil
	})
	for _, version := range []string{"v1alpha1", "v1beta1"} {
		w.warnings.take()
		require.NoError(w, w.Create(w.Context(), w.cloneSet("stranger-"+version, version)), "a rule for PodTemplates is none for CloneSets")
		told := strings.Join(w.warnings.take(), "\n")
		assert.Contains(w, told, "PodTemplates have an owner here", "but it is told of")

		owned := w.cloneSet("owned-"+version, version)
		owned.SetLabels(map[string]string{"owner": "me"})
		require.NoError(w, w.Create(w.Context(), owned))
		assert.Empty(w, w.warnings.take(), "what is asked about carries the labels of the set")

		broken := w.cloneSet("broken-"+version, version, `image: "web:1", `, "")
		require.ErrorContains(w, w.Create(w.Context(), broken), "spec.template.spec.containers[0].image", "what the cluster itself would not take is refused all the same")
	}
}

func keptFields(w *world, _ []*replica) {
	fields := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`"x%d":1`, i)
		}
		return `{"spec":{"updateStrategy":{"rollingUpdate":{` + strings.Join(all, ",") + `}}}}`
	}
	for _, version := range []string{"v1alpha1", "v1beta1"} {
		for _, key := range []string{convert.HubFieldsAnnotation, convert.SpokeFieldsAnnotation} {
			w.Run(version+" with "+key, func(t *testing.T) {
				object := w.cloneSet("kept", version)
				object.SetAnnotations(map[string]string{key: strings.Repeat("é", convert.MaxBytes/2+1)})
				err := w.Create(t.Context(), object, client.DryRunAll)
				require.True(t, apierrors.IsForbidden(err), "by the policy, and so even while no webhook answers: %v", err)
				assert.ErrorContains(t, err, "may have 16384 bytes: remove them")

				object.SetAnnotations(map[string]string{key: fields(convert.MaxLeaves + 1)})
				err = w.Create(t.Context(), object, client.DryRunAll)
				require.True(t, apierrors.IsInvalid(err), "by the webhook: %v", err)
				assert.ErrorContains(t, err, "it keeps more than 256 fields")

				object.SetAnnotations(map[string]string{key: fields(3)})
				require.NoError(t, w.Create(t.Context(), object, client.DryRunAll))
			})
		}
	}
}

// roomForConversion writes as many annotations as Kubernetes takes, beside something that v1alpha1 can only keep in one of its own.
func roomForConversion(w *world, _ []*replica) {
	half := strings.Repeat("<", 131072-len("own/text"))
	object := w.cloneSet("roomy", "v1beta1")
	object.SetLabels(map[string]string{"apps.kruise.io/cloneset-scaling-exclude-preparing-delete": "true"})
	object.SetAnnotations(map[string]string{"own/text": half + "x"})
	err := w.Create(w.Context(), object.DeepCopy())
	require.True(w, apierrors.IsForbidden(err), "%v", err)
	assert.ErrorContains(w, err, "the annotations may have 131072 bytes in total")

	object.SetAnnotations(map[string]string{"own/text": half})
	require.NoError(w, w.Create(w.Context(), object))
	alpha := &unstructured.Unstructured{}
	alpha.SetAPIVersion("apps.kruise.io/v1alpha1")
	alpha.SetKind("CloneSet")
	require.NoError(w, w.Get(w.Context(), client.ObjectKeyFromObject(object), alpha), "what is taken can be read in the other version")
	assert.Contains(w, alpha.GetAnnotations(), convert.HubFieldsAnnotation)

	object.SetAnnotations(map[string]string{"own/text": half, "own/more": ""})
	require.True(w, apierrors.IsForbidden(w.Update(w.Context(), object.DeepCopy())))
	object.SetAnnotations(map[string]string{"own/text": half[1:]})
	require.NoError(w, w.Update(w.Context(), object))
	require.NoError(w, w.Delete(w.Context(), object))
}
