// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Path is where the API server sends CloneSets.
// COMPAT: published.
const Path = "/validate-apps-kruise-io-cloneset"

// +kubebuilder:rbac:groups="",resources=podtemplates,verbs=create

// Validator answers whether a CloneSet may be written.
type Validator struct {
	// Client asks the cluster about templates, by dry run.
	Client kubernetes.Interface
}

var _ admission.Handler = &Validator{}

// Handle answers one request.
func (v *Validator) Handle(ctx context.Context, req admission.Request) admission.Response {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return admission.Allowed("")
	}
	o := &object{}
	if err := json.Unmarshal(req.Object.Raw, o); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("reading the CloneSet: %w", err))
	}
	o.Metadata.Namespace = req.Namespace
	problems := validateSelector(o)
	if len(problems) == 0 && !hasSameTemplate(req, o) {
		problems = v.validateTemplate(ctx, o)
	}
	if len(problems) == 0 {
		return admission.Allowed("")
	}
	kind := schema.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}
	refusal := apierrors.NewInvalid(kind, o.Metadata.Name, problems)
	response := admission.Denied(refusal.Error())
	response.Result = &refusal.ErrStatus
	return response
}

// hasSameTemplate says that an update does not touch the template: what was taken once is not asked about again.
func hasSameTemplate(req admission.Request, o *object) bool {
	if req.Operation != admissionv1.Update {
		return false
	}
	old := &object{}
	if err := json.Unmarshal(req.OldObject.Raw, old); err != nil {
		return false
	}
	var a, b any
	if json.Unmarshal(old.Spec.Template, &a) != nil || json.Unmarshal(o.Spec.Template, &b) != nil {
		return false
	}
	return equality.Semantic.DeepEqual(a, b) && equality.Semantic.DeepEqual(old.Spec.VolumeClaimTemplates, o.Spec.VolumeClaimTemplates)
}

// validateTemplate asks the cluster, by a dry run of a PodTemplate, so that the rules and the typos caught are its own.
func (v *Validator) validateTemplate(ctx context.Context, o *object) field.ErrorList {
	template, err := podTemplate(o)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "template"), field.OmitValueType{}, err.Error())}
	}
	body, err := json.Marshal(template)
	if err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("spec", "template"), err)}
	}
	err = v.Client.CoreV1().RESTClient().Post().Namespace(o.Metadata.Namespace).Resource("podtemplates").
		Param("dryRun", "All").Param("fieldValidation", "Strict").Body(body).SetHeader("Content-Type", "application/json").Do(ctx).Error()
	problems := translate(err)
	if err != nil && len(problems) == 0 {
		log.FromContext(ctx).Info("the template was not checked", "why", err.Error())
	}
	return problems
}
