// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// FieldManager owns caBundle, and nothing else.
const FieldManager = "keelson-webhook-ca"

// Label marks the webhook configurations that are told which authority to trust, by the value LabelValue. Names are not known here: whoever installs
// Keelson may change them.
const (
	Label      = "apps.kruise.io/ca-bundle"
	LabelValue = "webhooks"
)

// Target is what holds a caBundle, which says which authority the API server trusts: one CRD with conversion, or all webhook configurations with Label.
type Target struct {
	Resource schema.GroupVersionResource
	// Name is that of the one object; empty means all that have Label.
	Name string
}

// ValidatingWebhooks is the target for all ValidatingWebhookConfigurations with Label.
func ValidatingWebhooks() Target {
	return Target{Resource: schema.GroupVersionResource{
		Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations",
	}}
}

// Conversion is the target for a CustomResourceDefinition.
func Conversion(name string) Target {
	return Target{Resource: schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}, Name: name}
}

// options select the objects of the target in a list or watch.
func (t Target) options(o *metav1.ListOptions) {
	if t.Name == "" {
		o.LabelSelector = Label + "=" + LabelValue
		return
	}
	o.FieldSelector = fields.OneTermEqualSelector("metadata.name", t.Name).String()
}

// overlap is how long an authority stays trusted after another took its place: every replica has followed by then.
const overlap = time.Hour

// trust says which authorities a target is to trust at a time: the one that signs now, and the one that this replica still serves with, if another.
type trust struct {
	signing, serving []byte
	now              time.Time
	// host is the DNS name that the API server calls this replica by. What calls another is left alone.
	host string
}

// publish makes the API server trust the authorities. An object that is not there is left alone: it will be published to when it appears.
func (t Target) publish(ctx context.Context, client dynamic.Interface, wanted trust) error {
	var o metav1.ListOptions
	t.options(&o)
	list, err := client.Resource(t.Resource).List(ctx, o)
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", t.Resource.Resource, t.Name, err)
	}
	var failures []error
	for i := range list.Items {
		failures = append(failures, t.publishTo(ctx, client, &list.Items[i], wanted))
	}
	return errors.Join(failures...)
}

func (t Target) publishTo(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured, wanted trust) error {
	patch, changed, err := patchOf(object, wanted)
	if err != nil || !changed {
		return err
	}
	// Another replica may publish at the same time: what it adds must not be lost.
	patch.SetResourceVersion(object.GetResourceVersion())
	_, err = client.Resource(t.Resource).Apply(ctx, object.GetName(), patch, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("publishing the authority in %s %s: %w", t.Resource.Resource, object.GetName(), err)
	}
	log.FromContext(ctx).Info("Published the authority", "resource", t.Resource.Resource, "name", object.GetName())
	return nil
}

// patchOf is the configuration that owns caBundle alone; it says whether anything changes. It fails on a CRD whose conversion calls somebody else: nobody
// could read the older version of its objects, which the names of an installation that do not fit together lead to.
func patchOf(object *unstructured.Unstructured, wanted trust) (*unstructured.Unstructured, bool, error) {
	patch := &unstructured.Unstructured{Object: map[string]any{}}
	patch.SetAPIVersion(object.GetAPIVersion())
	patch.SetKind(object.GetKind())
	patch.SetName(object.GetName())
	published := publishedAt(object)
	if object.GetKind() == "CustomResourceDefinition" {
		clientConfig, found, _ := unstructured.NestedMap(object.Object, "spec", "conversion", "webhook", "clientConfig")
		if !found {
			return patch, false, nil
		}
		if host := hostOf(clientConfig); host != "" && host != wanted.host {
			return nil, false, fmt.Errorf("the conversion of %s calls %s, which is not this program: it is %s", object.GetName(), host, wanted.host)
		}
		text, changed := wanted.caBundle(clientConfig, published)
		patch.Object["spec"] = map[string]any{"conversion": map[string]any{"webhook": map[string]any{"clientConfig": map[string]any{"caBundle": text}}}}
		return patch, changed, nil
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
		if host := hostOf(clientConfig); host != "" && host != wanted.host {
			continue
		}
		text, changes := wanted.caBundle(clientConfig, published)
		changed = changed || changes
		entries = append(entries, map[string]any{"name": hook["name"], "clientConfig": map[string]any{"caBundle": text}})
	}
	patch.Object["webhooks"] = entries
	return patch, changed, nil
}

// hostOf is the DNS name of the Service that a client configuration calls; empty when it calls a URL, as it does where the programs run outside the cluster.
func hostOf(clientConfig map[string]any) string {
	name, found, _ := unstructured.NestedString(clientConfig, "service", "name")
	namespace, _, _ := unstructured.NestedString(clientConfig, "service", "namespace")
	if !found {
		return ""
	}
	return Host(name, namespace)
}

// Host is the DNS name by which the API server calls a Service.
func Host(service, namespace string) string { return service + "." + namespace + ".svc" }

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
