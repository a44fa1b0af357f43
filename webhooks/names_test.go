// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestAnInstallationUnderOtherNames shows that one whose namespace and names a user changed works, and is held by its policies, too.
func TestAnInstallationUnderOtherNames(t *testing.T) {
	w := newEmptyWorld(t)
	w.apply("../tests/bundles/testdata/renamed")
	for name, tell := range map[string]func(*world){"its policies hold it": held, "it finds its names, and metrics are for those who may read them": scraped} {
		t.Run(name, func(t *testing.T) {
			inner := *w
			inner.T = t
			tell(&inner)
		})
	}
}

func held(w *world) {
	const trust, rule = `{"webhooks":[{"name":"vcloneset.kb.io","clientConfig":{"caBundle":"%s"}}]}`, `{"webhooks":[{"name":"vcloneset.kb.io","timeoutSeconds":%d}]}`
	webhook := w.withToken("other", "x-kruise-webhook-y")
	patch := func(body string) error {
		hooks := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "x-kruise-validating-webhook-configuration-y"}}
		return webhook.Patch(w.Context(), hooks, client.RawPatch(types.StrategicMergePatchType, []byte(body)))
	}
	seconds := 5
	w.eventually("the policy is in force", func() error {
		// What was written before the policy was in force is no change any more, and would be let through for ever.
		seconds = seconds%30 + 1
		if err := patch(fmt.Sprintf(rule, seconds)); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "caBundle only") {
			return errors.New(fmt.Sprint("not denied: ", err))
		}
		return nil
	})
	require.NoError(w, patch(fmt.Sprintf(trust, base64.StdEncoding.EncodeToString(w.admin.CAData))))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "other"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "main", Image: "web:1"}}, NodeName: "node", ServiceAccountName: "x-kruise-daemon-y",
	}}
	require.NoError(w, w.Create(w.Context(), pod))
	report := func() client.Patch {
		seconds++
		return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"apps.kruise.io/runtime-containers-meta":"report %d"}}}`, seconds))
	}
	agent := w.withToken("other", "x-kruise-daemon-y")
	w.eventually("a token of no node is denied", func() error {
		err := agent.Status().Patch(w.Context(), pod, report())
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "the node agent may write Pods of its own node only") {
			return errors.New(fmt.Sprint("not denied: ", err))
		}
		return nil
	})
	require.NoError(w, w.Status().Patch(w.Context(), pod, report()), "others are not held")
}

func scraped(w *world) {
	w.Setenv("KUBECONFIG", w.kubeconfigOf("other", "x-kruise-webhook-y"))
	// As the Pod's annotations tell it.
	for key, value := range map[string]string{"POD_NAMESPACE": "other", "SERVICE_NAME": "x-kruise-webhook-service-y", "SECRET_NAME": "x-kruise-webhook-certs-y"} {
		w.Setenv(key, value)
	}
	address := net.JoinHostPort(w.host, strconv.Itoa(freePort(w.T)))
	w.start("renamed", "--metrics-addr="+address)
	crd := w.targets("x-kruise-validating-webhook-configuration-y")["clonesets.apps.kruise.io"]
	assert.NotEmpty(w, caBundle(crd), "the authority is published")

	require.NoError(w, w.Create(w.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "prometheus", Namespace: "other"}}))
	scrape := func(token string) (int, string) {
		request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "https://"+address+"/metrics", nil)
		require.NoError(w, err)
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		response, err := c.Do(request)
		require.NoError(w, err)
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		require.NoError(w, err)
		return response.StatusCode, string(text)
	}
	code, _ := scrape("")
	assert.Equal(w, http.StatusUnauthorized, code, "without a token")
	code, _ = scrape(w.token("other", "prometheus"))
	assert.Equal(w, http.StatusForbidden, code, "with one of somebody who may not")
	require.NoError(w, w.Create(w.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "x-kruise-metrics-reader-y"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "prometheus", Namespace: "other"}},
	}))
	w.eventually("a refusal is forgotten, and the metrics are read", func() error {
		code, text := scrape(w.token("other", "prometheus"))
		if code != http.StatusOK || !strings.Contains(text, "controller_runtime_webhook_requests_total") && !strings.Contains(text, "go_goroutines") {
			return fmt.Errorf("%d: %.200s", code, text)
		}
		return nil
	})
}
