// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/keelson/keelson/tests/support"
)

// agents are the Pods of the node agent, by their nodes.
func agents(s *support.Suite) map[string]corev1.Pod {
	s.Helper()
	var list corev1.PodList
	require.NoError(s, s.Resources.WithNamespace("kruise-system").List(s.Context(), &list, resources.WithLabelSelector("control-plane=daemon")))
	found := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			found[pod.Spec.NodeName] = pod
		}
	}
	return found
}

// as is a client with a real token of the agent of a node, which says that it is a user, or nobody else.
func as(s *support.Suite, agent corev1.Pod, user string) kubernetes.Interface {
	s.Helper()
	admin, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	require.NoError(s, err)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: agent.Name, UID: agent.UID},
	}}
	token, err := admin.CoreV1().ServiceAccounts("kruise-system").CreateToken(s.Context(), "kruise-daemon", request, metav1.CreateOptions{})
	require.NoError(s, err)
	config := rest.AnonymousClientConfig(s.Resources.GetConfig())
	config.BearerToken, config.Impersonate.UserName = token.Status.Token, user
	client, err := kubernetes.NewForConfig(config)
	require.NoError(s, err)
	return client
}

func TestTheNodeAgentReadsPodsOfItsOwnNodeAlone(t *testing.T) {
	s := support.Begin(t)
	all := agents(s)
	require.GreaterOrEqual(t, len(all), 2, "one reads its own node, and is refused another")
	for node, agent := range all {
		on := func(node string) metav1.ListOptions {
			return metav1.ListOptions{FieldSelector: "spec.nodeName=" + node}
		}
		read := func(user string, o metav1.ListOptions) (*corev1.PodList, error) {
			return as(s, agent, user).CoreV1().Pods("").List(t.Context(), o)
		}
		own, err := read("system:node:"+node, on(node))
		require.NoError(t, err, "its own Pods")
		assert.NotEmpty(t, own.Items)
		for _, pod := range own.Items {
			assert.Equal(t, node, pod.Spec.NodeName)
		}
		_, err = read("", on(node))
		assert.True(t, apierrors.IsForbidden(err), "its own Pods as itself: %v", err)
		_, err = read("", metav1.ListOptions{})
		assert.True(t, apierrors.IsForbidden(err), "all Pods as itself: %v", err)
		_, err = read("system:node:"+node, metav1.ListOptions{})
		assert.True(t, apierrors.IsForbidden(err), "all Pods as its node: %v", err)
		for other, pod := range all {
			if other == node {
				continue
			}
			for _, user := range []string{"", "system:node:" + node, "system:node:" + other} {
				_, err = read(user, on(other))
				assert.True(t, apierrors.IsForbidden(err), "Pods of another node as %q: %v", user, err)
				_, err = as(s, agent, user).CoreV1().Pods("kruise-system").Get(t.Context(), pod.Name, metav1.GetOptions{})
				assert.True(t, apierrors.IsForbidden(err), "a Pod of another node as %q: %v", user, err)
			}
		}
	}
}

func TestTheNodeAgentOutlivesTheRuntime(t *testing.T) {
	s := support.BeginAlone(t)
	s.Create(support.MakeCloneSet("web").Replicas(3).Obj())
	s.WaitReady("web")
	var node string
	for _, pod := range s.Pods("app=web") {
		node = pod.Spec.NodeName
	}
	before, found := agents(s)[node]
	require.True(t, found, "the node has an agent")
	client, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	require.NoError(t, err)
	health := func(path string) string {
		text, err := client.CoreV1().Pods("kruise-system").ProxyGet("http", before.Name, "10220", path, nil).DoRaw(t.Context())
		if err != nil {
			return string(text) + err.Error()
		}
		return string(text)
	}
	support.Disrupt(t)
	require.Equal(t, "ok", health("/readyz"))
	t.Cleanup(func() { require.NoError(t, support.StartRuntime(context.Background(), node)) })
	require.NoError(t, support.StopRuntime(t.Context(), node))
	s.Eventually("the agent says that the runtime is lost", func() bool { return strings.Contains(health("/readyz"), "containerRuntime: lost since") })
	assert.Equal(t, "ok", health("/livez"))
	require.NoError(t, support.StartRuntime(t.Context(), node))
	s.Eventually("the agent has found it again", func() bool { return health("/readyz") == "ok" })
	after := agents(s)[node]
	assert.Equal(t, before.UID, after.UID)
	assert.Equal(t, before.Status.ContainerStatuses[0].RestartCount, after.Status.ContainerStatuses[0].RestartCount, "it was not restarted for that")
	s.SetImage("web", support.ImageV2)
	s.WaitFor("web", "all Pods are updated", support.IsUpdated(3))
	s.Eventually("what runs now is reported", func() bool {
		pods := s.Pods("app=web")
		for _, pod := range pods {
			if !isReportedAnew(pod) {
				return false
			}
		}
		return len(pods) == 3
	})
}

// isReportedAnew says that a Pod was updated in place, by one restart, and that the agent reports the container which runs since.
func isReportedAnew(pod corev1.Pod) bool {
	statuses := pod.Status.ContainerStatuses
	return pod.Spec.Containers[0].Image == support.ImageV2 && len(statuses) == 1 && statuses[0].RestartCount == 1 && statuses[0].ContainerID != "" &&
		strings.Contains(pod.Annotations["apps.kruise.io/runtime-containers-meta"], statuses[0].ContainerID)
}
