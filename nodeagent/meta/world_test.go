// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/nodeagent/cri/critest"
	"github.com/keelson/keelson/nodeagent/meta"
)

const home = "kruise-system"

// world is a real API server with nothing on its nodes but a container runtime that the test sets.
type world struct {
	config *rest.Config
	admin  kubernetes.Interface
	// bound has the rights that the bundle gives the agent, and a token that was made for the agent's Pod on node-a. With asNode it uses them as that node.
	bound, asNode kubernetes.Interface
	// boundToken is the token of both, unbound one of the same service account that was made for no Pod.
	boundToken, unbound string
	runtime             *critest.Fake
}

// startWorld starts an API server with some more flags, such as emulated-version=1.35.
func startWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	require.NotEmpty(t, os.Getenv("KUBEBUILDER_ASSETS"), "it must name a folder with kube-apiserver and etcd: run make envtest")
	env := &envtest.Environment{ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	env.ControlPlane.GetAPIServer().Configure().Set("authorization-mode", "Node", "RBAC")
	for _, flag := range flags {
		name, value, _ := strings.Cut(flag, "=")
		env.ControlPlane.GetAPIServer().Configure().Set(name, value)
	}
	config, err := env.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, env.Stop()) })
	config.QPS = -1
	w := &world{config: config, runtime: &critest.Fake{}}
	w.admin, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	for _, name := range []string{"node-a", "node-b"} {
		_, err := w.admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	_, err = w.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: home}}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.install(t)
	agent := w.createPod(t, "node-a", func(p *corev1.Pod) { p.Namespace, p.Spec.ServiceAccountName = home, "kruise-daemon" })
	w.boundToken = w.token(t, &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: agent.Name, UID: agent.UID})
	w.bound, w.asNode = w.clientWith(t, w.boundToken), w.clientWith(t, w.boundToken, "system:node:node-a")
	w.unbound = w.token(t, nil)
	return w
}

// install creates what the bundle holds, but for the agent itself.
func (w *world) install(t *testing.T) {
	t.Helper()
	account, role, binding := &corev1.ServiceAccount{}, &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}
	decode(t, "rbac.yaml", account, role, binding)
	policy, policyBinding := &admissionregistrationv1.ValidatingAdmissionPolicy{}, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	decode(t, "policy.yaml", policy, policyBinding)
	ctx, o := t.Context(), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	_, err1 := w.admin.CoreV1().ServiceAccounts(home).Create(ctx, account, o)
	_, err2 := w.admin.RbacV1().ClusterRoles().Create(ctx, role, o)
	_, err3 := w.admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, o)
	_, err4 := w.admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create(ctx, policy, o)
	_, err5 := w.admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(ctx, policyBinding, o)
	require.NoError(t, errors.Join(err1, err2, err3, err4, err5))
}

// decode reads the documents of a file of the bundle, which must be as many and of these kinds.
func decode(t *testing.T, file string, into ...any) {
	t.Helper()
	f, err := os.Open("../../bundles/nodeagent/" + file)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	decoder := yaml.NewYAMLOrJSONDecoder(f, 4096)
	for _, object := range into {
		require.NoError(t, decoder.Decode(object))
	}
	require.ErrorIs(t, decoder.Decode(&struct{}{}), io.EOF)
}

// token asks for a token of the agent's service account.
func (w *world) token(t *testing.T, bound *authenticationv1.BoundObjectReference) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: bound}}
	got, err := w.admin.CoreV1().ServiceAccounts(home).CreateToken(t.Context(), "kruise-daemon", request, metav1.CreateOptions{})
	require.NoError(t, err)
	return got.Status.Token
}

// clientWith has a token, and perhaps impersonates a user.
func (w *world) clientWith(t *testing.T, token string, user ...string) kubernetes.Interface {
	t.Helper()
	config := rest.AnonymousClientConfig(w.config)
	config.BearerToken, config.QPS = token, -1
	config.Impersonate.UserName = strings.Join(user, "")
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// startAgent runs the worker of node-a until the returned function is called or the test ends.
func (w *world) startAgent(t *testing.T) (stop func()) {
	t.Helper()
	version, err := (&critest.Fake{}).Version(t.Context())
	require.NoError(t, err)
	worker, err := meta.New(meta.Clients{Read: w.asNode, Write: w.bound}, w.runtime, version, meta.Options{Node: "node-a", FollowsMetadata: true})
	require.NoError(t, err)
	require.Error(t, worker.Ready())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	isStopped := false
	stop = func() {
		if isStopped {
			return
		}
		isStopped = true
		cancel()
		require.NoError(t, <-ended)
	}
	t.Cleanup(stop)
	w.eventually(t, "the agent knows its Pods", func(context.Context) (bool, string) { return worker.Ready() == nil, "not ready" })
	return stop
}

// ours makes a Pod one of a CloneSet.
func ours(pod *corev1.Pod) {
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps.kruise.io/v1beta1", Kind: "CloneSet", Name: "web", UID: "1", Controller: new(true)}}
}

// createPod makes a Pod on a node, with one container called main.
func (w *world) createPod(t *testing.T, node string, change ...func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "web-", Annotations: map[string]string{"theirs": "kept"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "web:v1"}}},
	}
	for _, f := range change {
		f(pod)
	}
	pod, err := w.admin.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	return pod
}

func (w *world) read(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	now, err := w.admin.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	require.NoError(t, err)
	return now
}

func (w *world) patch(t *testing.T, pod *corev1.Pod, patch string, subresources ...string) {
	t.Helper()
	_, err := w.admin.CoreV1().Pods(pod.Namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	require.NoError(t, err)
}

// setStatus says what a kubelet says when the container main runs.
func (w *world) setStatus(t *testing.T, pod *corev1.Pod, id string, restarts int32) {
	t.Helper()
	now := w.read(t, pod)
	now.Status.Phase = corev1.PodRunning
	now.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: "web:v1", ImageID: "1", ContainerID: id, RestartCount: restarts, Ready: true}}
	_, err := w.admin.CoreV1().Pods(pod.Namespace).UpdateStatus(t.Context(), now, metav1.UpdateOptions{})
	require.NoError(t, err)
}

func (w *world) eventuallyReports(t *testing.T, pod *corev1.Pod, want string) {
	t.Helper()
	w.eventually(t, "the Pod carries the report "+want, func(context.Context) (bool, string) {
		got := w.read(t, pod).Annotations[pub.RuntimeContainerMetaKey]
		return got == want, got
	})
}

// eventually waits until a condition holds; what it returns last explains a failure.
func (w *world) eventually(t *testing.T, sentence string, holds func(ctx context.Context) (bool, string)) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (ok bool, _ error) {
		ok, last = holds(ctx)
		return ok, nil
	})
	require.NoError(t, err, "%s: %s", sentence, last)
}
