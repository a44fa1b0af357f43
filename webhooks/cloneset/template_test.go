// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const withClaims = base + `
  volumeClaimTemplates:
  - metadata: {name: cache}
  - metadata: {name: Bad_Name}
`

func TestAClaimTemplateIsAskedAboutAsAVolume(t *testing.T) {
	q, err := ask(set(t, withClaims, "    spec:\n", "    spec:\n      volumes: [{name: cache, emptyDir: {}}, {name: tmp, emptyDir: {}}]\n"), "here")
	require.NoError(t, err)
	assert.Equal(t, "here", q.body["metadata"].(map[string]any)["namespace"])
	assert.Equal(t, []any{
		map[string]any{"name": "cache", "persistentVolumeClaim": map[string]any{"claimName": "checked"}},
		map[string]any{"name": "tmp", "emptyDir": map[string]any{}},
		map[string]any{"name": "Bad_Name", "persistentVolumeClaim": map[string]any{"claimName": "checked"}},
	}, q.body["template"].(map[string]any)["spec"].(map[string]any)["volumes"])

	refusal := apierrors.NewInvalid(schema.GroupKind{Kind: "PodTemplate"}, "", field.ErrorList{
		field.Invalid(field.NewPath("template", "spec", "volumes").Index(2).Child("name"), "Bad_Name", "no"),
		field.Invalid(field.NewPath("template", "spec", "volumes").Index(1).Child("name"), "tmp", "no"),
		field.Required(field.NewPath("template", "spec", "containers").Index(0).Child("image"), ""),
		field.Invalid(field.NewPath("metadata", "namespace"), "here", "no"),
	})
	var got []string
	for _, cause := range q.translate(refusal) {
		got = append(got, cause.Field+": "+cause.Message)
	}
	assert.Equal(t, []string{
		`spec.volumeClaimTemplates[1].metadata.name: Invalid value: "Bad_Name": no`,
		`spec.template.spec.volumes[1].name: Invalid value: "tmp": no`,
		`spec.template.spec.containers[0].image: Required value`,
		`spec.template: Invalid value: "here": no`,
	}, got)
}

func TestAnAnswerThatIsNotAboutTheTemplateRefusesNothing(t *testing.T) {
	templates := schema.GroupResource{Resource: "podtemplates"}
	for name, answer := range map[string]error{
		"no answer":                       nil,
		"a quota":                         apierrors.NewForbidden(templates, "", errors.New("exceeded quota")),
		"a namespace that goes away":      apierrors.NewNotFound(templates, "default"),
		"an API server that is busy":      apierrors.NewTooManyRequests("busy", 1),
		"an API server that is not there": errors.New("connection refused"),
	} {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, question{}.translate(answer))
		})
	}
}

func TestANumberKeepsItsDigits(t *testing.T) {
	q, err := ask(set(t, base, "command: [serve]", "securityContext: {runAsUser: 9007199254740993}"), "here")
	require.NoError(t, err)
	container := q.body["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	assert.Equal(t, int64(9007199254740993), container["securityContext"].(map[string]any)["runAsUser"])
}
