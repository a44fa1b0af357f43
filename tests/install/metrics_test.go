// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/keelson/keelson/tests/support"
)

// requireMetrics reads the metrics of the controllers and of the webhooks as a scraper does, with its own token, where the component metrics is deployed.
func requireMetrics(s *support.Suite) {
	s.Helper()
	admin, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	require.NoError(s, err)
	s.Create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "prometheus"}}, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "nobody"}})
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "kruise-metrics-reader"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "prometheus", Namespace: s.Namespace}},
	}
	require.NoError(s, s.Resources.Create(s.Context(), binding))
	defer func() { require.NoError(s, s.Resources.Delete(s.Context(), binding)) }()
	token := func(account string) string {
		t, err := admin.CoreV1().ServiceAccounts(s.Namespace).CreateToken(s.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		require.NoError(s, err)
		return t.Status.Token
	}
	// Of two controllers only the one that leads tells of its queues; this all tell.
	for deployment, want := range map[string]string{"kruise-controller-manager": "keelson_cache_stale_total", "kruise-webhook": "go_goroutines"} {
		address := forward(s.T, deployment)
		code, _ := scrape(s.T, address, token("nobody"))
		assert.Equal(s, http.StatusForbidden, code, deployment)
		code, text := scrape(s.T, address, token("prometheus"))
		assert.Equal(s, http.StatusOK, code, deployment)
		assert.True(s, strings.Contains(text, want), "%s tells %s", deployment, want)
	}
}

// forward makes the port of metrics of a Pod of a Deployment reachable at an address of this machine until the test ends.
func forward(t *testing.T, deployment string) string {
	t.Helper()
	kubectl, err := exec.Command("../../.ci/tool", "kubectl").Output()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(kubectl)), "-n", "kruise-system", "port-forward", "deployment/"+deployment, ":8443")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.Getenv(support.KubeconfigEnv))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	found := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	require.NotEmpty(t, found, line)
	return found
}

func scrape(t *testing.T, address, token string) (code int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}
