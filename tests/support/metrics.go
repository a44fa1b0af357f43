// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// metricsSource is where a Pod of ours serves its metrics: on its loopback address to anybody there, or on all addresses, by TLS, to those that may.
type metricsSource struct {
	pod         string
	port        int
	isProtected bool
}

// programLabel is the label that tells which of our programs a Pod runs.
const programLabel = "control-plane"

// sourceOf finds where a Pod serves its metrics: where its arguments say, or where our programs do without. It fails for a program that is not known.
func sourceOf(pod *corev1.Pod) (source metricsSource, isServed bool, err error) {
	address, isKnown := map[string]string{controllers: "127.0.0.1:8080", "webhook": "127.0.0.1:8080", "daemon": "127.0.0.1:10221"}[pod.Labels[programLabel]]
	if !isKnown {
		return source, false, fmt.Errorf("nobody knows the program %q", pod.Labels[programLabel])
	}
	for _, c := range pod.Spec.Containers {
		for _, argument := range c.Args {
			for _, flag := range []string{"--metrics-addr=", "--addr="} {
				if value, found := strings.CutPrefix(argument, flag); found {
					address = value
				}
			}
		}
	}
	host, text, _ := strings.Cut(address, ":")
	port, notServed := strconv.Atoi(text)
	return metricsSource{pod: pod.Name, port: port, isProtected: host != "127.0.0.1"}, notServed == nil, nil
}

// read reads the metrics by way of the API server and the kubelet, which open a connection within the Pod.
func (m metricsSource) read(ctx context.Context, config *rest.Config, client *kubernetes.Clientset) ([]byte, error) {
	token := ""
	if m.isProtected {
		var err error
		if token, err = readerToken(ctx, client); err != nil {
			return nil, err
		}
	}
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	url := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(ours).Name(m.pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	stop, ready := make(chan struct{}), make(chan struct{})
	defer close(stop)
	forward, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", m.port)}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- forward.ForwardPorts() }()
	select {
	case err := <-failed:
		return nil, fmt.Errorf("forwarding port %d: %w", m.port, err)
	case <-ready:
	}
	ports, err := forward.GetPorts()
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if m.isProtected {
		scheme = "https"
	}
	return fetch(ctx, fmt.Sprintf("%s://127.0.0.1:%d/metrics", scheme, ports[0].Local), token)
}

// fetch gets a page; a token that is not empty goes along.
func fetch(ctx context.Context, url, token string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The API server brought us to the very Pod; its certificate is its own.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// reader is the ServiceAccount, and the binding, of a suite that reads protected metrics.
const reader = "keelson-suite-reads-metrics"

// readerToken makes a ServiceAccount that may read metrics, where there is none, and returns a token of it.
func readerToken(ctx context.Context, client kubernetes.Interface) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: reader}}
	if _, err := client.CoreV1().ServiceAccounts(ours).Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("making an account that reads metrics: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: reader},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "kruise-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ours, Name: reader}},
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("letting an account read metrics: %w", err)
	}
	// Who asks too early is refused, and the refusal is remembered for a while.
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:                  "system:serviceaccount:" + ours + ":" + reader,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
	}}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, nil
	})
	if err != nil {
		return "", fmt.Errorf("waiting for an account to be let read metrics: %w", err)
	}
	made, err := client.CoreV1().ServiceAccounts(ours).CreateToken(ctx, reader, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("making a token that reads metrics: %w", err)
	}
	return made.Status.Token, nil
}

// forgetReader removes what readerToken made.
func forgetReader(ctx context.Context, client kubernetes.Interface) {
	_ = client.RbacV1().ClusterRoleBindings().Delete(ctx, reader, metav1.DeleteOptions{})
	_ = client.CoreV1().ServiceAccounts(ours).Delete(ctx, reader, metav1.DeleteOptions{})
}
