// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const withClaims = base + `
  volumeClaimTemplates:
  - metadata: {name: cache}
  - metadata: {name: Bad_Name}
`

func TestAClaimTemplateIsAskedAboutAsAVolume(t *testing.T) {
	q, err := ask(set(t, strings.Replace(withClaims, "namespace: default", "namespace: default, labels: {team: shop}", 1), "    spec:\n", "    spec:\n      volumes: [{name: cache, emptyDir: {}}, {name: tmp, emptyDir: {}}]\n"), "here")
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"generateName": "checked-", "namespace": "here", "labels": map[string]string{"team": "shop"}}, q.body["metadata"],
		"it carries the labels of the set, which others' admission policies go by")
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
	}, got)
}

// What was stored before there was a limit is asked about with its template.
func TestVeryManyClaimTemplatesAreAskedAboutAtOnce(t *testing.T) {
	o := set(t, base)
	o.Spec.VolumeClaimTemplates = make([]claimTemplate, 100_000)
	for i := range o.Spec.VolumeClaimTemplates {
		o.Spec.VolumeClaimTemplates[i].Name = strconv.Itoa(i)
	}
	begun := time.Now()
	q, err := ask(o, "here")
	require.NoError(t, err)
	assert.Len(t, q.claims, 100_000)
	assert.Less(t, time.Since(begun), 5*time.Second)
}

func TestATemplateThatFindsTheClusterBusyIsTakenWithAWarning(t *testing.T) {
	v := &Validator{Asking: semaphore.NewWeighted(1)}
	require.True(t, v.Asking.TryAcquire(1))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	causes, warnings := v.checkTemplate(ctx, set(t, base), "here")
	assert.Empty(t, causes)
	assert.Equal(t, []string{"spec.template was not checked: others are being checked: context deadline exceeded"}, warnings)
}

func TestAnAnswerThatIsNotAboutTheTemplateRefusesNothing(t *testing.T) {
	templates := schema.GroupResource{Resource: "podtemplates"}
	for name, answer := range map[string]error{
		"no answer":                       nil,
		"a quota":                         apierrors.NewForbidden(templates, "", errors.New("exceeded quota")),
		"a namespace that goes away":      apierrors.NewNotFound(templates, "default"),
		"an API server that is busy":      apierrors.NewTooManyRequests("busy", 1),
		"an API server that is not there": errors.New("connection refused"),
		"an admission policy": denial(metav1.StatusReasonInvalid, `podtemplates "checked-x" is forbidden: ValidatingAdmissionPolicy 'owned' with binding 'owned' denied request: no owner`,
			metav1.StatusCause{Message: "no owner"}),
		"another of a field that is none of the template": denial(metav1.StatusReasonInvalid, `PodTemplate "checked-x" is invalid: metadata.name: Invalid value`,
			metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "metadata.name", Message: "Invalid value"}),
		"an admission webhook with fields of its own": denial(metav1.StatusReasonInvalid, `admission webhook "a.b" denied the request: no`,
			metav1.StatusCause{Field: "template.spec.containers[0].image", Message: "not from here"}),
		"an admission webhook that calls it a bad request": denial(metav1.StatusReasonBadRequest, `admission webhook "a.b" denied the request: unknown field "template.spec.x"`),
		"a bad request of another kind":                    denial(metav1.StatusReasonBadRequest, "the namespace of the provided object does not match"),
	} {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, question{}.translate(answer))
		})
	}
}

// denial is what the API server passes on from somebody who has rules for PodTemplates.
func denial(reason metav1.StatusReason, message string, causes ...metav1.StatusCause) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Reason: reason, Message: message, Details: &metav1.StatusDetails{Kind: "podtemplates", Causes: causes},
	}}
}

func TestWhatCannotBeDecodedRefuses(t *testing.T) {
	const begins = `PodTemplate in version "v1" cannot be handled as a PodTemplate: `
	for message, want := range map[string]string{
		begins + `strict decoding error: unknown field "template.spec.x"`:                                        "spec.template.spec.x: Invalid value: unknown field: correct its name or remove it",
		begins + `json: cannot unmarshal string into Go struct field PodSpec.template.spec.hostPID of type bool`: "spec.template.spec.hostPID: Invalid value: it must not be of the type string",
		begins + `quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`:   "spec.template: Invalid value: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
	} {
		causes := question{}.translate(denial(metav1.StatusReasonBadRequest, message))
		require.Len(t, causes, 1, message)
		assert.Equal(t, want, causes[0].Field+": "+causes[0].Message)
	}
}

func TestANumberKeepsItsDigits(t *testing.T) {
	q, err := ask(set(t, base, "command: [serve]", "securityContext: {runAsUser: 9007199254740993}"), "here")
	require.NoError(t, err)
	container := q.body["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	assert.Equal(t, int64(9007199254740993), container["securityContext"].(map[string]any)["runAsUser"])
}
