// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// FieldManager owns caBundle, and nothing else.
const FieldManager = "keelson-webhook-ca"

// Target is an object whose caBundle says which authority the API server trusts: a webhook configuration, or a CRD with conversion.
type Target struct {
	Resource schema.GroupVersionResource
	Name     string
}

// ValidatingWebhooks is the target for a ValidatingWebhookConfiguration.
func ValidatingWebhooks(name string) Target {
	return Target{Resource: schema.GroupVersionResource{
		Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations",
	}, Name: name}
}

// Conversion is the target for a CustomResourceDefinition.
func Conversion(name string) Target {
	return Target{Resource: schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}, Name: name}
}

// overlap is how long an authority stays trusted after another took its place: every replica has followed by then.
const overlap = time.Hour

// trust says which authorities a target is to trust at a time: the one that signs now, and the one that this replica still serves with, if another.
type trust struct {
	signing, serving []byte
	now              time.Time
}

// publish makes the API server trust the authorities. An object that is not there is left alone: it will be published to when it appears.
func (t Target) publish(ctx context.Context, client dynamic.Interface, wanted trust) error {
	object, err := client.Resource(t.Resource).Get(ctx, t.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", t.Resource.Resource, t.Name, err)
	}
	patch, changed := t.patch(object, wanted)
	if !changed {
		return nil
	}
	// Another replica may publish at the same time: what it adds must not be lost.
	patch.SetResourceVersion(object.GetResourceVersion())
	_, err = client.Resource(t.Resource).Apply(ctx, t.Name, patch, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("publishing the authority in %s %s: %w", t.Resource.Resource, t.Name, err)
	}
	log.FromContext(ctx).Info("Published the authority", "resource", t.Resource.Resource, "name", t.Name)
	return nil
}

// patch is the configuration that owns caBundle alone; it says whether anything changes.
func (t Target) patch(object *unstructured.Unstructured, wanted trust) (*unstructured.Unstructured, bool) {
	patch := &unstructured.Unstructured{Object: map[string]any{}}
	patch.SetAPIVersion(object.GetAPIVersion())
	patch.SetKind(object.GetKind())
	patch.SetName(t.Name)
	published := publishedAt(object)
	if object.GetKind() == "CustomResourceDefinition" {
		clientConfig, found, _ := unstructured.NestedMap(object.Object, "spec", "conversion", "webhook", "clientConfig")
		if !found {
			return patch, false
		}
		text, changed := wanted.caBundle(clientConfig, published)
		patch.Object["spec"] = map[string]any{"conversion": map[string]any{"webhook": map[string]any{"clientConfig": map[string]any{"caBundle": text}}}}
		return patch, changed
	}
	hooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
	changed := false
	var entries []any
	for _, h := range hooks {
		hook, isMap := h.(map[string]any)
		clientConfig, isConfig := hook["clientConfig"].(map[string]any)
		if !isMap || !isConfig {
			continue
		}
		text, changes := wanted.caBundle(clientConfig, published)
		changed = changed || changes
		entries = append(entries, map[string]any{"name": hook["name"], "clientConfig": map[string]any{"caBundle": text}})
	}
	patch.Object["webhooks"] = entries
	return patch, changed
}

// publishedAt is when we last changed the object, or zero.
func publishedAt(object *unstructured.Unstructured) time.Time {
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Time != nil {
			return entry.Time.Time
		}
	}
	return time.Time{}
}

// caBundle is what a client configuration should have, and whether it has another. What is trusted already stays so, until our authority has been
// the first of the bundle for the length of the overlap: then every replica serves with it, and an older one, perhaps stolen, is of no use to anybody.
func (w trust) caBundle(clientConfig map[string]any, published time.Time) (string, bool) {
	text, _ := clientConfig["caBundle"].(string)
	older, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		older = nil
	}
	ours := bundle(w.now, w.signing)
	wanted := bundle(w.now, w.signing, w.serving, older)
	isSettled := !published.IsZero() && w.now.Sub(published) > overlap && bytes.HasPrefix(older, ours)
	if isSettled {
		wanted = bundle(w.now, w.signing, w.serving)
	}
	return base64.StdEncoding.EncodeToString(wanted), !bytes.Equal(wanted, older)
}
