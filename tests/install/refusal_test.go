// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestBadInputIsRefusedWithTheField(t *testing.T) {
	s := support.Begin(t)
	for name, tc := range map[string]struct {
		change func(*kruisev1beta1.CloneSet)
		want   string
	}{
		"a selector that does not match the template": {
			change: func(set *kruisev1beta1.CloneSet) { set.Spec.Template.Labels = map[string]string{"app": "other"} },
			want:   "template.metadata.labels",
		},
		"an image without a name": {
			change: func(set *kruisev1beta1.CloneSet) { set.Spec.Template.Spec.Containers[0].Image = "" },
			want:   "spec.template.spec.containers[0].image",
		},
		"a container name that is none": {
			change: func(set *kruisev1beta1.CloneSet) { set.Spec.Template.Spec.Containers[0].Name = "NOT_A_NAME" },
			want:   "spec.template.spec.containers[0].name",
		},
		"a mount of a volume that is not there": {
			change: func(set *kruisev1beta1.CloneSet) {
				set.Spec.Template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
			},
			want: "spec.template.spec.containers[0].volumeMounts[0].name",
		},
		"a partition that is a number in quotes": {
			change: func(set *kruisev1beta1.CloneSet) {
				value := support.Text("5")
				set.Spec.UpdateStrategy.RollingUpdate.Partition = &value
			},
			want: "spec.updateStrategy.rollingUpdate.partition",
		},
		"a maxSurge with letters": {
			change: func(set *kruisev1beta1.CloneSet) {
				value := support.Text("120%x")
				set.Spec.UpdateStrategy.RollingUpdate.MaxSurge = &value
			},
			want: "spec.updateStrategy.rollingUpdate.maxSurge",
		},
	} {
		t.Run(name, func(t *testing.T) {
			// While no webhook answers, a template is taken on the word of its schema: so it may be after the programs were rolled just now.
			s.Eventually("the refusal names "+tc.want, func() bool {
				set := support.MakeCloneSet("web").Replicas(0).Obj()
				tc.change(set)
				set.Namespace = s.Namespace
				err := s.Resources.Create(t.Context(), set)
				if err == nil {
					require.NoError(t, s.Resources.Delete(t.Context(), set))
				}
				return err != nil && strings.Contains(err.Error(), tc.want)
			})
		})
	}
	t.Run("a selector that changes", func(t *testing.T) {
		set := support.MakeCloneSet("changes").Replicas(0).Obj()
		set.Namespace = s.Namespace
		require.NoError(t, s.Resources.Create(t.Context(), set))
		const other = `{"spec":{"selector":{"matchLabels":{"app":"other"}},"template":{"metadata":{"labels":{"app":"other"}}}}}`
		err := s.Resources.Patch(t.Context(), set, k8s.Patch{PatchType: types.MergePatchType, Data: []byte(other)})
		require.ErrorContains(t, err, "spec.selector")
	})
	t.Run("the old version through the same rules", func(t *testing.T) {
		beta := support.MakeCloneSet("old").Obj()
		set := &kruisev1alpha1.CloneSet{ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: s.Namespace}}
		set.Spec.Selector = beta.Spec.Selector
		set.Spec.Template = beta.Spec.Template
		set.Spec.Template.Labels = map[string]string{"app": "other"}
		require.ErrorContains(t, s.Resources.Create(t.Context(), set), "template.metadata.labels")
	})
}

func TestAClaimTemplateMayBeMounted(t *testing.T) {
	s := support.Begin(t)
	set := support.MakeCloneSet("web").Replicas(0).Obj()
	set.Spec.Template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	s.Create(set)
}

func TestAResetOfTheTrustIsRestored(t *testing.T) {
	s := support.Begin(t)
	const name = "kruise-validating-webhook-configuration"
	hooks := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	require.NoError(t, s.Resources.Get(t.Context(), name, "", hooks))
	require.NotEmpty(t, hooks.Webhooks[0].ClientConfig.CABundle)
	before := hooks.Webhooks[0].ClientConfig.CABundle
	hooks.Webhooks[0].ClientConfig.CABundle = nil
	require.NoError(t, s.Resources.Update(t.Context(), hooks))
	s.Eventually("it is restored", func() bool {
		require.NoError(t, s.Resources.Get(t.Context(), name, "", hooks))
		return string(hooks.Webhooks[0].ClientConfig.CABundle) == string(before)
	})
}

// TestTheTokenOfTheWebhooksGetsNothingSentThatIsNotTheirs uses the real token: whoever steals it may not have the API server send them Secrets.
func TestTheTokenOfTheWebhooksGetsNothingSentThatIsNotTheirs(t *testing.T) {
	s := support.Begin(t)
	admin, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	require.NoError(t, err)
	token, err := admin.CoreV1().ServiceAccounts("kruise-system").CreateToken(t.Context(), "kruise-webhook", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(s.Resources.GetConfig())
	config.BearerToken = token.Status.Token
	thief, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	for name, body := range map[string]string{
		"a rule for Secrets": `[{"op":"add","path":"/webhooks/0/rules/-","value":{"apiGroups":[""],"apiVersions":["v1"],"operations":["*"],"resources":["secrets"]}}]`,
		"another address":    `[{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":"https://example.com"}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := thief.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(
				t.Context(), "kruise-validating-webhook-configuration", types.JSONPatchType, []byte(body), metav1.PatchOptions{})
			require.ErrorContains(t, err, "the webhooks may change webhooks[].clientConfig.caBundle only")
			require.True(t, apierrors.IsForbidden(err), "%v", err)
		})
	}
}

// agent is a client that is taken for the node agent of a node; without a node, for somebody with a stolen token.
func agent(s *support.Suite, node string) kubernetes.Interface {
	s.Helper()
	config := rest.CopyConfig(s.Resources.GetConfig())
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:kruise-system:kruise-daemon",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:kruise-system", "system:authenticated"},
	}
	if node != "" {
		config.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/node-name": {node}}
	}
	client, err := kubernetes.NewForConfig(config)
	require.NoError(s, err)
	return client
}

// requireForbidden says that an error is a refusal to somebody who may not, in these words.
func requireForbidden(t *testing.T, err error, words string) {
	t.Helper()
	require.True(t, apierrors.IsForbidden(err), "%s: %v", words, err)
	require.ErrorContains(t, err, words)
}

func TestTheNodeAgentWritesOneAnnotationOfItsOwnPodsAlone(t *testing.T) {
	s := support.Begin(t)
	s.Create(support.MakeCloneSet("web").Replicas(1).Obj())
	s.WaitReady("web")
	for _, pod := range s.Pods("app=web") {
		const report = `{"metadata":{"annotations":{"apps.kruise.io/runtime-containers-meta":"{}"}}}`
		patch := func(node, body, subresource string) error {
			_, err := agent(s, node).CoreV1().Pods(s.Namespace).Patch(
				t.Context(), pod.Name, types.StrategicMergePatchType, []byte(body), metav1.PatchOptions{}, subresource)
			return err
		}
		require.NoError(t, patch(pod.Spec.NodeName, report, "status"), "its own Pod")
		requireForbidden(t, patch("another-node", report, "status"), `this Pod is on node "`+pod.Spec.NodeName+`", the token is of node "another-node"`)
		requireForbidden(t, patch("", report, "status"), "the token is of no node")
		requireForbidden(t, patch(pod.Spec.NodeName, `{"metadata":{"labels":{"a":"b"}}}`, "status"), "may change nothing of a Pod but its annotation")
		requireForbidden(t, patch(pod.Spec.NodeName, `{"status":{"phase":"Failed"}}`, "status"), "may change nothing of a Pod but its annotation")
		requireForbidden(t, patch(pod.Spec.NodeName, report, ""), `cannot patch resource "pods" in API group`)
		err := agent(s, pod.Spec.NodeName).CoreV1().Pods(s.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{})
		requireForbidden(t, err, `cannot delete resource "pods"`)
		_, err = agent(s, pod.Spec.NodeName).CoreV1().Secrets("kruise-system").List(t.Context(), metav1.ListOptions{})
		requireForbidden(t, err, `cannot list resource "secrets"`)
		s.Eventually("the real agent puts its report back", func() bool {
			now := s.Pods("app=web")[pod.Name]
			return now.Annotations["apps.kruise.io/runtime-containers-meta"] != "{}"
		})
	}
}

func TestTheControllersCannotReadSecrets(t *testing.T) {
	s := support.Begin(t)
	for _, account := range []string{"kruise-manager", "kruise-webhook", "kruise-daemon"} {
		out, err := support.Kubectl(t.Context(), nil, "auth", "can-i", "list", "secrets", "--all-namespaces", "--as=system:serviceaccount:kruise-system:"+account)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		assert.ErrorContains(t, err, "exit status 1", account)
		assert.Equal(t, "no", lines[len(lines)-1], account)
	}
	_ = s
}
