// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const dnsName = "kruise-webhook-service.kruise-system.svc"

func fresh(t *testing.T, now time.Time) certificates {
	t.Helper()
	c, err := certificates(nil).renew(dnsName, now)
	require.NoError(t, err)
	require.NoError(t, c.check(dnsName, now))
	return c
}

func TestRenew(t *testing.T) {
	now := time.Now()
	good := fresh(t, now)
	other := fresh(t, now)
	for name, tc := range map[string]struct {
		change   func(certificates)
		later    time.Duration
		want     string
		wantSame bool
	}{
		"nothing in the Secret":                {change: func(c certificates) { clear(c) }, want: "key ca-cert.pem"},
		"an authority that is no certificate":  {change: func(c certificates) { c[caCertKey] = []byte("garbage") }, want: "key ca-cert.pem"},
		"an authority without its key":         {change: func(c certificates) { delete(c, caKeyKey) }, want: "key ca-key.pem: it is missing or empty"},
		"an authority with the key of another": {change: func(c certificates) { c[caKeyKey] = other[caKeyKey] }, want: "key ca-cert.pem"},
		"a certificate that is none":           {change: func(c certificates) { c[serverCertKey] = []byte("-----BEGIN") }, want: "key tls.crt", wantSame: true},
		"a certificate without its key":        {change: func(c certificates) { delete(c, serverKeyKey) }, want: "key tls.key: it is missing or empty", wantSame: true},
		"a certificate of another authority": {change: func(c certificates) {
			maps.Copy(c, certificates{serverCertKey: other[serverCertKey], serverKeyKey: other[serverKeyKey]})
		}, want: "key tls.crt", wantSame: true},
		"a certificate that is about to expire": {change: func(certificates) {}, later: serverLifetime - renewBefore + time.Minute, want: "key tls.crt", wantSame: true},
		"an authority that is about to expire":  {change: func(certificates) {}, later: caLifetime - renewBefore + time.Minute, want: "key ca-cert.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			c := maps.Clone(good)
			tc.change(c)
			then := now.Add(tc.later)
			require.ErrorContains(t, c.check(dnsName, then), tc.want)
			renewed, err := c.renew(dnsName, then)
			require.NoError(t, err)
			require.NoError(t, renewed.check(dnsName, then))
			pair, err := renewed.pair()
			require.NoError(t, err)
			require.NoError(t, pair.Leaf.VerifyHostname("localhost"))
			assert.Equal(t, tc.wantSame, string(renewed[caCertKey]) == string(good[caCertKey]), "an authority that is good is kept")
		})
	}
}

func count(text string) int {
	raw, _ := base64.StdEncoding.DecodeString(text)
	n := 0
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		n++
	}
	return n
}

func TestTrustOverlaps(t *testing.T) {
	now := time.Now()
	before, after := fresh(t, now), fresh(t, now)
	base64Of := base64.StdEncoding.EncodeToString
	both := base64Of(bundle(now, after[caCertKey], before[caCertKey]))
	for name, tc := range map[string]struct {
		caBundle  string
		serving   []byte
		published time.Duration
		now       time.Time
		want      int
		wantSame  bool
	}{
		"nothing is trusted yet":                            {want: 1},
		"what cannot be read is replaced":                   {caBundle: "%%%", want: 1},
		"what holds no certificate is replaced":             {caBundle: base64Of([]byte("reset")), want: 1},
		"the older authority is trusted beside the new one": {caBundle: base64Of(before[caCertKey]), published: 24 * time.Hour, want: 2},
		"a while ago":                                                         {caBundle: both, published: time.Minute, want: 2, wantSame: true},
		"long ago it goes away":                                               {caBundle: both, published: 2 * overlap, want: 1},
		"not while this replica serves with it":                               {caBundle: both, serving: before[caCertKey], published: 2 * overlap, want: 2, wantSame: true},
		"a reset does not forget what this replica serves with":               {serving: before[caCertKey], published: time.Minute, want: 2},
		"one that was put before ours stays until ours was first long enough": {caBundle: base64Of(bundle(now, before[caCertKey], after[caCertKey])), published: 2 * overlap, want: 2},
		"who published is not known":                                          {caBundle: both, want: 2, wantSame: true},
		"one that has expired is dropped":                                     {caBundle: base64Of(before[caCertKey]), now: now.Add(2 * caLifetime), want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			at := tc.now
			if at.IsZero() {
				at = now
			}
			var published time.Time
			if tc.published > 0 {
				published = at.Add(-tc.published)
			}
			wanted := trust{signing: after[caCertKey], serving: tc.serving, now: at}
			got, changed := wanted.caBundle(map[string]any{"caBundle": tc.caBundle}, published)
			assert.Equal(t, tc.want, count(got))
			assert.Equal(t, tc.wantSame, !changed)
			if tc.want > 0 {
				raw, err := base64.StdEncoding.DecodeString(got)
				require.NoError(t, err)
				block, _ := pem.Decode(raw)
				first, err := x509.ParseCertificate(block.Bytes)
				require.NoError(t, err)
				pair, err := after.pair()
				require.NoError(t, err)
				require.NoError(t, pair.Leaf.CheckSignatureFrom(first), "the authority that signs now comes first")
			}
		})
	}
}

func TestThePatchHoldsNothingButTheTrust(t *testing.T) {
	now := time.Now()
	wanted := trust{signing: fresh(t, now)[caCertKey], now: now, host: Host("hooks", "ours")}
	text := base64.StdEncoding.EncodeToString(bundle(now, wanted.signing))

	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "x", "labels": map[string]any{"a": "b"}},
		"spec": map[string]any{"group": "g", "conversion": map[string]any{"strategy": "Webhook", "webhook": map[string]any{"clientConfig": map[string]any{"url": "u"}}}},
	}}
	patch, changed, err := patchOf(crd, wanted)
	require.NoError(t, err)
	assert.True(t, changed)
	assert.Equal(t, map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "x"},
		"spec": map[string]any{"conversion": map[string]any{"webhook": map[string]any{"clientConfig": map[string]any{"caBundle": text}}}},
	}, patch.Object)
	unstructured.RemoveNestedField(crd.Object, "spec", "conversion")
	_, changed, err = patchOf(crd, wanted)
	require.NoError(t, err)
	assert.False(t, changed, "a CRD without conversion is left alone")

	hooks := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": map[string]any{"name": "y"},
		"webhooks": []any{
			map[string]any{"name": "one", "failurePolicy": "Ignore", "clientConfig": map[string]any{"caBundle": text}},
			map[string]any{"name": "two", "clientConfig": map[string]any{"service": map[string]any{"name": "hooks", "namespace": "ours"}}},
			map[string]any{"name": "of-others", "clientConfig": map[string]any{"service": map[string]any{"name": "hooks", "namespace": "theirs"}}},
		},
	}}
	patch, changed, err = patchOf(hooks, wanted)
	require.NoError(t, err)
	assert.True(t, changed)
	assert.Equal(t, []any{
		map[string]any{"name": "one", "clientConfig": map[string]any{"caBundle": text}},
		map[string]any{"name": "two", "clientConfig": map[string]any{"caBundle": text}},
	}, patch.Object["webhooks"])
}

func TestAConversionThatCallsSomebodyElseIsNamed(t *testing.T) {
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "x"},
		"spec": map[string]any{"conversion": map[string]any{"webhook": map[string]any{
			"clientConfig": map[string]any{"service": map[string]any{"name": "hooks", "namespace": "old"}},
		}}},
	}}
	_, _, err := patchOf(crd, trust{now: time.Now(), host: Host("hooks", "new")})
	require.EqualError(t, err, "the conversion of x calls hooks.old.svc, which is not this program: it is hooks.new.svc")
}

func TestWhenWePublished(t *testing.T) {
	at := metav1.NewTime(time.Now().Truncate(time.Second))
	object := &unstructured.Unstructured{Object: map[string]any{}}
	assert.True(t, publishedAt(object).IsZero())
	object.SetManagedFields([]metav1.ManagedFieldsEntry{
		{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply, Time: &metav1.Time{}},
		{Manager: FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, Time: &metav1.Time{}},
		{Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply, Time: &at},
	})
	assert.True(t, publishedAt(object).Equal(at.Time))
}
