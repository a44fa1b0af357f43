// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keelson/keelson/webhooks/serving"
)

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	require.NoError(t, yaml.Unmarshal([]byte(text), into))
}

// TestTheWebhooks tells one story, chapter by chapter, of two replicas that share a Secret.
func TestTheWebhooks(t *testing.T) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	w := newWorld(t)
	t.Setenv("KUBECONFIG", w.kubeconfig())
	replicas := []*replica{w.run("one"), w.run("two")}
	for _, chapter := range []struct {
		name string
		tell func(*world, []*replica)
	}{
		{"both replicas serve with what the Secret holds", sameCertificate},
		{"the trust belongs to its own field manager", ownership},
		{"both versions are served", bothVersions},
		{"a template that the cluster would not take is refused by field", refusals},
		{"what somebody else's policy says of PodTemplates is a warning", strangersRules},
		{"what conversion keeps is bounded", keptFields},
		{"what is taken can be converted", roomForConversion},
		{"every published rule is kept, and says how to mend what breaks it", publishedRules},
		{"an update that cannot be made in place is warned of", warned},
		{"what was stored while nobody answered can still be scaled and deleted", oldFaults},
		{"a reset of the trust is restored", resets},
		{"applying the bundle again takes nothing away", appliedAgain},
		{"a Secret that holds garbage is renewed, and no valid request is refused meanwhile", garbage},
		{"the webhooks may do no more than they must", limits},
		{"one replica is enough", oneIsEnough},
	} {
		ok := t.Run(chapter.name, func(t *testing.T) {
			inner := *w
			inner.T = t
			chapter.tell(&inner, replicas)
		})
		require.True(t, ok)
	}
}

func (w *world) secret() *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{}
	require.NoError(w, w.Get(w.Context(), types.NamespacedName{Namespace: "kruise-system", Name: "kruise-webhook-certs"}, s))
	return s
}

// targets are the objects that hold the trust, as they are now.
func (w *world) targets(configuration ...string) map[string]*unstructured.Unstructured {
	w.Helper()
	out := map[string]*unstructured.Unstructured{}
	for name, kind := range map[string]schema.GroupVersionKind{
		append(configuration, "kruise-validating-webhook-configuration")[0]: {Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
		"clonesets.apps.kruise.io": {Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	} {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind)
		require.NoError(w, w.Get(w.Context(), types.NamespacedName{Name: name}, object))
		out[name] = object
	}
	return out
}

// clientConfig is the part of a target that holds the trust.
func clientConfig(target *unstructured.Unstructured) map[string]any {
	if target.GetKind() == "CustomResourceDefinition" {
		config, _, _ := unstructured.NestedMap(target.Object, "spec", "conversion", "webhook", "clientConfig")
		return config
	}
	hooks, _, _ := unstructured.NestedSlice(target.Object, "webhooks")
	config, _, _ := unstructured.NestedMap(hooks[0].(map[string]any), "clientConfig")
	return config
}

func caBundle(target *unstructured.Unstructured) string {
	text, _ := clientConfig(target)["caBundle"].(string)
	raw, _ := base64.StdEncoding.DecodeString(text)
	return string(raw)
}

func sameCertificate(w *world, replicas []*replica) {
	secret := w.secret()
	for _, key := range []string{"ca-cert.pem", "ca-key.pem", "tls.crt", "tls.key"} {
		assert.NotEmpty(w, secret.Data[key], key)
	}
	w.eventually("both serve with the same", func() error { return same(replicas) })
	for name, target := range w.targets() {
		assert.Equal(w, string(secret.Data["ca-cert.pem"]), caBundle(target), name)
	}
}

func same(replicas []*replica) error {
	one, err := replicas[0].certificate()
	if err != nil {
		return err
	}
	two, err := replicas[1].certificate()
	if err != nil {
		return err
	}
	if one != two {
		return errors.New("the replicas serve with different certificates")
	}
	return nil
}

func ownership(w *world, _ []*replica) {
	for name, target := range w.targets() {
		found := false
		for _, entry := range target.GetManagedFields() {
			if entry.Manager != serving.FieldManager {
				continue
			}
			found = true
			assert.Equal(w, metav1.ManagedFieldsOperationApply, entry.Operation, name)
			text := entry.FieldsV1.GetRawString()
			assert.Contains(w, text, "f:caBundle", name)
			for _, other := range []string{"f:service", "f:rules", "f:failurePolicy", "f:versions", "f:strategy", "f:metadata"} {
				assert.NotContains(w, text, other, name)
			}
		}
		assert.True(w, found, name)
	}
}

func bothVersions(w *world, _ []*replica) {
	require.NoError(w, w.Create(w.Context(), w.cloneSet("alpha", "v1alpha1", "updateStrategy: {}", "updateStrategy: {type: InPlaceIfPossible, maxUnavailable: 50%}")))
	beta := w.cloneSet("alpha", "v1beta1")
	require.NoError(w, w.Get(w.Context(), client.ObjectKeyFromObject(beta), beta))
	policy, _, _ := unstructured.NestedString(beta.Object, "spec", "updateStrategy", "rollingUpdate", "podUpdatePolicy")
	assert.Equal(w, "InPlaceIfPossible", policy)
	require.NoError(w, w.Create(w.Context(), w.cloneSet("beta", "v1beta1")))
	alpha := w.cloneSet("beta", "v1alpha1")
	require.NoError(w, w.Get(w.Context(), client.ObjectKeyFromObject(alpha), alpha))
}

func refusals(w *world, _ []*replica) {
	const container = `{name: main, image: "web:1", command: [serve]}`
	for name, tc := range map[string]struct {
		old, replacement string
		want             string
	}{
		"a misspelt field": {container, `{name: main, imagee: "web:1", image: "web:1"}`, "spec.template.spec.containers[0].imagee: Invalid value: unknown field"},
		"a wrong type":     {container, `{name: main, image: "web:1", ports: none}`, "spec.template.spec.containers.ports: Invalid value: it must not be of the type string"},
		"no image":         {container, `{name: main}`, "spec.template.spec.containers[0].image: Required value"},
		"no containers":    {"containers:\n      - " + container, "containers: []", "spec.template.spec.containers: Required value"},
		"a bad name":       {"name: main", "name: MAIN", `spec.template.spec.containers[0].name: Invalid value: "MAIN"`},
		"a bad quantity":   {"command: [serve]", "resources: {limits: {cpu: lots}}", "spec.template"},
		"a mount of nothing": {
			"command: [serve]", "volumeMounts: [{name: data, mountPath: /data}]", `spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"`,
		},
		"a claim whose name no volume can have": {
			"  updateStrategy: {}", "  volumeClaimTemplates: [{metadata: {name: Bad_Name}}]", `spec.volumeClaimTemplates[0].metadata.name: Invalid value: "Bad_Name"`,
		},
		"two claims of one name": {
			"  updateStrategy: {}", "  volumeClaimTemplates: [{metadata: {name: a}}, {metadata: {name: a}}]", "spec.volumeClaimTemplates[1].metadata.name: Duplicate value",
		},
		"a label that cannot be": {"{app: web}", `{app: "not a label"}`, "spec.selector: Invalid value"},
	} {
		for _, version := range []string{"v1alpha1", "v1beta1"} {
			w.Run(name+" in "+version, func(t *testing.T) {
				object := w.cloneSet("refused", version, tc.old, tc.replacement)
				err := w.Create(t.Context(), object)
				require.ErrorContains(t, err, tc.want)
				assert.True(t, apierrors.IsInvalid(err), "%v", err)
			})
		}
	}
	fine := w.cloneSet("with-claim", "v1alpha1", "command: [serve]", "volumeMounts: [{name: data, mountPath: /data}]",
		"  updateStrategy: {}", "  volumeClaimTemplates: [{metadata: {name: data}}]")
	require.NoError(w, w.Create(w.Context(), fine), "a claim may be mounted")
	var templates corev1.PodTemplateList
	require.NoError(w, w.List(w.Context(), &templates))
	assert.Empty(w, templates.Items, "nothing that was asked about is stored")
}

func warned(w *world, _ []*replica) {
	require.NoError(w, w.Create(w.Context(), w.cloneSet("warned", "v1alpha1", "updateStrategy: {}", "updateStrategy: {type: InPlaceIfPossible}")))
	status := `{"status":{"replicas":3,"readyReplicas":3,"availableReplicas":3,"updatedReplicas":3,"updatedReadyReplicas":3}}`
	require.NoError(w, w.Status().Patch(w.Context(), w.cloneSet("warned", "v1alpha1"), client.RawPatch(types.MergePatchType, []byte(status))))
	w.warnings.take()
	patch := func(body string) {
		require.NoError(w, w.Patch(w.Context(), w.cloneSet("warned", "v1alpha1"), client.RawPatch(types.MergePatchType, []byte(body))))
	}
	patch(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"web:2","command":["serve"]}]}}}}`)
	assert.Empty(w, w.warnings.take(), "an image changes in place")
	patch(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"web:2","command":["other"]}]}}}}`)
	assert.Equal(w, []string{"this change recreates 3 Pods: spec.template.spec.containers[0].command[0] cannot change in place"}, w.warnings.take())
	patch(`{"metadata":{"annotations":{"apps.kruise.io/image-predownload-timeout-seconds":"soon"}}}`)
	assert.Equal(w, []string{`metadata.annotations[apps.kruise.io/image-predownload-timeout-seconds]: "soon" means nothing: write a number, 0 or more`}, w.warnings.take())
	patch(`{"spec":{"template":{"metadata":{"annotations":{"container.apparmor.security.beta.kubernetes.io/main":"unconfined"}}}}}`)
	assert.NotEmpty(w, w.warnings.take(), "what the cluster warns of in the template is passed on")
}

func oldFaults(w *world, _ []*replica) {
	webhook := w.targets()["kruise-validating-webhook-configuration"]
	rule := func(operation string) {
		body := fmt.Sprintf(`[{"op":"replace","path":"/webhooks/0/rules/0/operations","value":[%q,"UPDATE"]}]`, operation)
		require.NoError(w, w.Patch(w.Context(), webhook, client.RawPatch(types.JSONPatchType, []byte(body))))
	}
	// While the webhook is not asked about creation, something slips in.
	rule("DELETE")
	object := w.cloneSet("faulty", "v1beta1", `image: "web:1", `, "")
	object.SetFinalizers([]string{"example.com/hold"})
	w.eventually("a CloneSet with a fault is stored", func() error { return w.Create(w.Context(), object) })
	rule("CREATE")
	merge := func(body string) error {
		return w.Patch(w.Context(), object, client.RawPatch(types.MergePatchType, []byte(body)))
	}
	require.NoError(w, merge(`{"spec":{"replicas":1}}`), "it can be scaled")
	require.NoError(w, merge(`{"metadata":{"labels":{"a":"b"}}}`), "and labelled")
	require.ErrorContains(w, merge(`{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`), "containers[0].image", "whoever touches the template is told")
	require.NoError(w, w.Delete(w.Context(), object))
	require.NoError(w, merge(`{"metadata":{"finalizers":null}}`), "it goes away")
	assert.True(w, apierrors.IsNotFound(w.Get(w.Context(), client.ObjectKeyFromObject(object), object)))
}

func resets(w *world, _ []*replica) {
	want := string(w.secret().Data["ca-cert.pem"])
	for name, target := range w.targets() {
		for how, body := range map[string]string{
			"emptied":  `[{"op":"remove","path":"%s/caBundle"}]`,
			"replaced": `[{"op":"replace","path":"%s/caBundle","value":"` + base64.StdEncoding.EncodeToString(w.admin.CAData) + `"}]`,
		} {
			path := "/webhooks/0/clientConfig"
			if target.GetKind() == "CustomResourceDefinition" {
				path = "/spec/conversion/webhook/clientConfig"
			}
			require.NoError(w, w.Patch(w.Context(), target, client.RawPatch(types.JSONPatchType, []byte(fmt.Sprintf(body, path)))), "%s %s", name, how)
			w.eventually(name+" is restored after it was "+how, func() error {
				if !strings.HasPrefix(caBundle(w.targets()[name]), want) {
					return errors.New("the authority is not published")
				}
				return nil
			})
		}
	}
	ownership(w, nil)
}

func appliedAgain(w *world, _ []*replica) {
	secret, before := w.secret(), w.targets()
	w.apply("../bundles/webhooks")
	w.apply("../bundles/crd")
	assert.Equal(w, secret.Data, w.secret().Data)
	for name, target := range w.targets() {
		assert.Equal(w, before[name].GetGeneration(), target.GetGeneration(), name)
		assert.Equal(w, caBundle(before[name]), caBundle(target), name)
	}
}

func garbage(w *world, replicas []*replica) {
	// So that a request that the webhook cannot answer shows.
	hooks := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "kruise-validating-webhook-configuration"}}
	policy := func(p admissionregistrationv1.FailurePolicyType) {
		body := fmt.Sprintf(`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":%q}]`, p)
		require.NoError(w, w.Patch(w.Context(), hooks, client.RawPatch(types.JSONPatchType, []byte(body))))
	}
	policy(admissionregistrationv1.Fail)
	defer policy(admissionregistrationv1.Ignore)

	ctx, cancel := context.WithCancel(w.Context())
	var count atomic.Int64
	refused := make(chan error, 1)
	go func() {
		var err error
		for ; ctx.Err() == nil && err == nil; count.Add(1) {
			err = w.Create(context.WithoutCancel(ctx), w.cloneSet(fmt.Sprintf("meanwhile-%d", count.Load()), "v1alpha1"))
		}
		refused <- err
	}()
	// Some requests may be on their way from before.
	more := func(when string) {
		before := count.Load()
		w.eventually("requests are made "+when, func() error {
			if n := count.Load(); n < before+5 {
				return fmt.Errorf("%d were taken, and no more", n)
			}
			return nil
		})
	}
	more("before")
	old, err := replicas[0].certificate()
	require.NoError(w, err)
	secret := w.secret()
	oldCA := string(secret.Data["ca-cert.pem"])
	secret.Data = map[string][]byte{"ca-cert.pem": []byte("garbage"), "tls.crt": {0}}
	require.NoError(w, w.Update(w.Context(), secret))
	w.eventually("the new authority is published", func() error {
		for name, target := range w.targets() {
			if !strings.Contains(caBundle(target), oldCA) || strings.HasPrefix(caBundle(target), oldCA) {
				return errors.New(name + " does not trust it")
			}
		}
		return nil
	})
	for _, r := range replicas {
		now, err := r.certificate()
		require.NoError(w, err)
		assert.Equal(w, old, now, "nobody serves with a new certificate before the API server had time to trust it")
	}
	w.eventually("both replicas serve with a new certificate", func() error {
		now, err := replicas[0].certificate()
		if err != nil || now == old {
			return errors.Join(err, errors.New("still the old one"))
		}
		return same(replicas)
	})
	more("with the new certificates")
	cancel()
	require.NoError(w, <-refused, "after %d requests that were taken", count.Load())
	newCA := string(w.secret().Data["ca-cert.pem"])
	assert.NotEqual(w, oldCA, newCA)
	for name, target := range w.targets() {
		assert.True(w, strings.HasPrefix(caBundle(target), newCA+oldCA), "%s: the new authority first, and the old one for a while", name)
	}
}

// limits asks for what the ServiceAccount must not get.
func limits(w *world, _ []*replica) {
	as := w.withToken("kruise-system", "kruise-webhook")
	crd, hooks := w.targets()["clonesets.apps.kruise.io"], w.targets()["kruise-validating-webhook-configuration"]
	for _, tc := range []struct {
		object  *unstructured.Unstructured
		want    string
		path    string
		changes map[string]string
	}{
		{
			object: crd, want: "the webhooks may change spec.conversion.webhook.clientConfig.caBundle only", path: "/spec/conversion/webhook/clientConfig",
			changes: map[string]string{
				"a short name":        `{"op":"add","path":"/spec/names/shortNames/-","value":"mine"}`,
				"a version":           `{"op":"replace","path":"/spec/versions/0/served","value":false}`,
				"a label":             `{"op":"add","path":"/metadata/labels","value":{"a":"b"}}`,
				"a finalizer":         `{"op":"add","path":"/metadata/finalizers","value":["a/b"]}`,
				"the service":         `{"op":"replace","path":"/spec/conversion/webhook/clientConfig/service/namespace","value":"mine"}`,
				"the port":            `{"op":"replace","path":"/spec/conversion/webhook/clientConfig/service/port","value":8443}`,
				"an address":          `{"op":"replace","path":"/spec/conversion/webhook/clientConfig","value":{"url":"https://example.com"}}`,
				"the review versions": `{"op":"add","path":"/spec/conversion/webhook/conversionReviewVersions/-","value":"v2"}`,
				"the strategy":        `{"op":"replace","path":"/spec/conversion","value":{"strategy":"None"}}`,
			},
		},
		{
			object: hooks, want: "the webhooks may change webhooks[].clientConfig.caBundle only", path: "/webhooks/0/clientConfig",
			changes: map[string]string{
				"a rule for Secrets": `{"op":"add","path":"/webhooks/0/rules/-","value":{"apiGroups":[""],"apiVersions":["v1"],"operations":["*"],"resources":["secrets"]}}`,
				"the rules":          `{"op":"replace","path":"/webhooks/0/rules/0/resources","value":["*"]}`,
				"an address":         `{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":"https://example.com"}}`,
				"the service":        `{"op":"replace","path":"/webhooks/0/clientConfig/service/namespace","value":"mine"}`,
				"the path":           `{"op":"replace","path":"/webhooks/0/clientConfig/service/path","value":"/"}`,
				"the failure policy": `{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}`,
				"the namespaces":     `{"op":"replace","path":"/webhooks/0/namespaceSelector","value":{"matchLabels":{"a":"b"}}}`,
				"a condition":        `{"op":"add","path":"/webhooks/0/matchConditions","value":[{"name":"a","expression":"true"}]}`,
				"the timeout":        `{"op":"replace","path":"/webhooks/0/timeoutSeconds","value":30}`,
				"another webhook": `{"op":"add","path":"/webhooks/-","value":{"name":"all.example.com","clientConfig":{"url":"https://example.com"},` +
					`"admissionReviewVersions":["v1"],"sideEffects":"None","rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["*"],"resources":["secrets"]}]}}`,
				"no webhook":   `{"op":"remove","path":"/webhooks/0"}`,
				"its name":     `{"op":"replace","path":"/webhooks/0/name","value":"other.kb.io"}`,
				"a label":      `{"op":"add","path":"/metadata/labels/a","value":"b"}`,
				"an owner":     `{"op":"add","path":"/metadata/ownerReferences","value":[{"apiVersion":"v1","kind":"Pod","name":"a","uid":"b"}]}`,
				"a finalizer":  `{"op":"add","path":"/metadata/finalizers","value":["a/b"]}`,
				"no selection": `{"op":"remove","path":"/metadata/labels"}`,
			},
		},
	} {
		for name, body := range tc.changes {
			w.Run("of the "+tc.object.GetKind()+" "+name, func(t *testing.T) {
				err := as.Patch(t.Context(), tc.object.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte("["+body+"]")))
				require.ErrorContains(t, err, tc.want)
				require.True(t, apierrors.IsForbidden(err), "not Invalid, which makes some tools delete the object: %v", err)
				require.NoError(t, w.Patch(t.Context(), tc.object.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte("["+body+"]")), client.DryRunAll),
					"whoever owns the cluster may")
			})
		}
		trust := `[{"op":"replace","path":"` + tc.path + `/caBundle","value":"` + base64.StdEncoding.EncodeToString(w.admin.CAData) + `"}]`
		require.NoError(w, as.Patch(w.Context(), tc.object.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(trust)), client.DryRunAll))
		trust = `[{"op":"remove","path":"` + tc.path + `/caBundle"}]`
		require.NoError(w, as.Patch(w.Context(), tc.object.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(trust)), client.DryRunAll))
	}
	template := func() *corev1.PodTemplate {
		return &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-", Namespace: "default"}, Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
		}}
	}
	require.NoError(w, as.Create(w.Context(), template(), client.DryRunAll))
	require.ErrorContains(w, as.Create(w.Context(), template()), "dry run only")
	for name, err := range map[string]error{
		"list Secrets":           as.List(w.Context(), &corev1.SecretList{}),
		"list Secrets near by":   as.List(w.Context(), &corev1.SecretList{}, client.InNamespace("kruise-system")),
		"read another Secret":    as.Get(w.Context(), types.NamespacedName{Namespace: "kruise-system", Name: "other"}, &corev1.Secret{}),
		"delete the certificate": as.Delete(w.Context(), w.secret()),
		"patch another webhook": as.Patch(w.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
			client.RawPatch(types.MergePatchType, []byte(`{}`))),
		"list Pods": as.List(w.Context(), &corev1.PodList{}),
	} {
		assert.True(w, apierrors.IsForbidden(err), "%s: %v", name, err)
	}
}

func oneIsEnough(w *world, replicas []*replica) {
	slice := &unstructured.Unstructured{}
	slice.SetGroupVersionKind(schema.GroupVersionKind{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"})
	slice.SetName("one")
	slice.SetNamespace("kruise-system")
	require.NoError(w, w.Delete(w.Context(), slice))
	replicas[0].stop()
	w.eventually("it is gone", func() error {
		if replicas[0].ready() == nil {
			return os.ErrExist
		}
		return nil
	})
	require.NoError(w, w.Create(w.Context(), w.cloneSet("last", "v1alpha1")))
	require.ErrorContains(w, w.Create(w.Context(), w.cloneSet("bad", "v1alpha1", "name: main", "name: MAIN")), "spec.template.spec.containers[0].name")
}

func TestLinger(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	later := linger(ctx)
	cancel()
	begun := time.Now()
	<-later.Done()
	assert.GreaterOrEqual(t, time.Since(begun), lingerFor, "requests are answered for a while after the signal")
}
