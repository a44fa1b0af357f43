// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	"github.com/keelson/keelson/controllers/plan/inplace"
)

// Path is where the API server sends CloneSets.
// COMPAT: published.
const Path = "/validate-apps-kruise-io-cloneset"

// +kubebuilder:rbac:groups="",resources=podtemplates,verbs=create

// Validator answers whether a CloneSet may be written.
type Validator struct {
	// Client asks the cluster about templates, by dry run.
	Client kubernetes.Interface
	// InPlace says what can change on a running Pod, so that the user is warned of the rest.
	InPlace inplace.Options
	// Asking bounds how many templates the cluster is asked about at one time; nil bounds nothing.
	Asking *semaphore.Weighted
}

var _ admission.Handler = &Validator{}

// Handle answers one request.
func (v *Validator) Handle(ctx context.Context, req admission.Request) admission.Response {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return admission.Allowed("")
	}
	updated, err := read(ctx, req.Object.Raw)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if updated.Metadata.DeletionTimestamp != nil {
		// Only finalizers still change, and nothing may hold them up.
		return admission.Allowed("")
	}
	var old *object
	if req.Operation == admissionv1.Update {
		if old, err = read(ctx, req.OldObject.Raw); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
	}
	if causes := causesOf(validateKept(req.OldObject.Raw, req.Object.Raw)); len(causes) > 0 {
		return refuse(req, updated, causes)
	}
	return v.judge(ctx, req, old, updated)
}

// judge refuses the updated object, or warns of what it does.
func (v *Validator) judge(ctx context.Context, req admission.Request, old, updated *object) admission.Response {
	causes := causesOf(validate(old, updated))
	var warnings []string
	if len(causes) == 0 && wantsTemplateCheck(old, updated) {
		causes, warnings = v.checkTemplate(ctx, updated, req.Namespace)
	}
	if len(causes) > 0 {
		return refuse(req, updated, causes)
	}
	if old != nil {
		warnings = append(warnings, warn(old, updated, v.InPlace)...)
	}
	for _, warning := range warnOfOrder(old, updated) {
		warnings = append(warnings, fieldIn(req, warning))
	}
	if isAlpha(req) {
		warnings = append(warnings, warnOfAnnotations(old, updated)...)
	}
	return admission.Allowed("").WithWarnings(warnings...)
}

// isAlpha says that the user wrote v1alpha1; what is judged is v1beta1 in any case.
func isAlpha(req admission.Request) bool {
	return req.RequestKind != nil && req.RequestKind.Version == kruisev1alpha1.GroupVersion.Version
}

// answerIn is how long the cluster gets to judge a template: less than the API server waits for us.
const answerIn = 3 * time.Second

// checkTemplate asks the cluster, by a dry run of a PodTemplate, so that the rules and the typos caught are its own. What it warns of is passed on.
func (v *Validator) checkTemplate(ctx context.Context, o *object, namespace string) ([]metav1.StatusCause, []string) {
	q, err := ask(o, namespace)
	if err != nil {
		return causesOf(field.ErrorList{field.Invalid(field.NewPath("spec", "template"), field.OmitValueType{}, err.Error())}), nil
	}
	body, err := json.Marshal(q.body)
	if err != nil {
		return causesOf(field.ErrorList{field.InternalError(field.NewPath("spec", "template"), err)}), nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	if v.Asking != nil {
		if err := v.Asking.Acquire(ctx, 1); err != nil {
			return nil, []string{unchecked(ctx, o, namespace, fmt.Errorf("others are being checked: %w", err))}
		}
		defer v.Asking.Release(1)
	}
	answer := v.Client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("podtemplates").
		Param("dryRun", "All").Param("fieldValidation", "Strict").Body(body).SetHeader("Content-Type", "application/json").Do(ctx)
	var warnings []string
	for _, w := range answer.Warnings() {
		text := w.Text
		if strings.HasPrefix(text, "template.") {
			text = "spec." + text
		}
		warnings = append(warnings, text)
	}
	causes := q.translate(answer.Error())
	if err := answer.Error(); err != nil && len(causes) == 0 {
		warnings = append(warnings, unchecked(ctx, o, namespace, err))
	}
	return causes, warnings
}

// unchecked is the warning of a template that the cluster did not judge.
func unchecked(ctx context.Context, o *object, namespace string, why error) string {
	log.FromContext(ctx).Info("The template was not checked", "namespace", namespace, "name", o.Metadata.Name, "why", why.Error())
	return fmt.Sprintf("spec.template was not checked: %v", why)
}

func causesOf(problems field.ErrorList) []metav1.StatusCause {
	var causes []metav1.StatusCause
	for _, p := range problems {
		causes = append(causes, metav1.StatusCause{Type: metav1.CauseType(p.Type), Message: p.ErrorBody(), Field: p.Field})
	}
	return causes
}

// refuse answers as the API server itself does for an invalid object.
func refuse(req admission.Request, o *object, causes []metav1.StatusCause) admission.Response {
	lines := make([]string, 0, len(causes))
	for i := range causes {
		causes[i].Field = fieldIn(req, causes[i].Field)
		lines = append(lines, causes[i].Field+": "+causes[i].Message)
	}
	response := admission.Denied("")
	response.Result = &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: fmt.Sprintf("%s.%s %q is invalid: %s", req.Kind.Kind, req.Kind.Group, o.Metadata.Name, strings.Join(lines, ", ")),
		Details: &metav1.StatusDetails{Name: o.Metadata.Name, Group: req.Kind.Group, Kind: req.Kind.Kind, Causes: causes},
	}
	return response
}

// fieldIn names a field as the user wrote it: v1alpha1 has the settings of a rolling update one level higher.
func fieldIn(req admission.Request, field string) string {
	if !isAlpha(req) {
		return field
	}
	return strings.Replace(field, "spec.updateStrategy.rollingUpdate.", "spec.updateStrategy.", 1)
}
