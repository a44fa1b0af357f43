// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stop ends single containers of Pods that live on, as the kubelet ends those of Pods that go: first the preStop hook, then the signal, both
// within one grace period. The kubelet then starts the container again.
package stop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/nodeagent/cri"
)

const (
	// defaultGrace is the grace period of a Pod that says none.
	defaultGrace = 30 * time.Second
	// leastGrace is left for the signal, however long the hook took.
	leastGrace = 2 * time.Second
)

// Container ends a container of a Pod by its ID. The error of its hook does not keep it from being ended, and is returned as the first value.
func Container(ctx context.Context, runtime cri.Runtime, pod *corev1.Pod, spec *corev1.Container, id string) (hook, err error) {
	grace := defaultGrace
	if seconds := pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	begun := time.Now()
	if spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil {
		hook = preStop(ctx, runtime, pod, spec, container{id: id, grace: max(grace, leastGrace)})
	}
	return hook, runtime.Stop(ctx, id, max(grace-time.Since(begun), leastGrace))
}

// container is one that is about to end.
type container struct {
	id    string
	grace time.Duration
}

// preStop runs the hook of a container, and gives it no more time than the grace period.
func preStop(ctx context.Context, runtime cri.Runtime, pod *corev1.Pod, spec *corev1.Container, c container) error {
	ctx, cancel := context.WithTimeout(ctx, c.grace)
	defer cancel()
	switch hook := spec.Lifecycle.PreStop; {
	case hook.Exec != nil:
		return runtime.Exec(ctx, c.id, hook.Exec.Command, c.grace)
	case hook.HTTPGet != nil:
		return get(ctx, pod, spec, hook.HTTPGet)
	case hook.Sleep != nil:
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(hook.Sleep.Seconds) * time.Second):
		}
	}
	return nil
}

// get calls a hook over HTTP. As for the kubelet, any answer but an error will do.
func get(ctx context.Context, pod *corev1.Pod, spec *corev1.Container, action *corev1.HTTPGetAction) error {
	url, err := urlOf(pod, spec, action)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("preparing the preStop hook: %w", err)
	}
	for _, header := range action.HTTPHeaders {
		request.Header.Add(header.Name, header.Value)
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	// COMPAT: a kubelet asks for no trusted certificate either.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("calling the preStop hook: %w", err)
	}
	return answer.Body.Close()
}

// urlOf is where a hook is called: at the Pod, unless it names a host.
func urlOf(pod *corev1.Pod, spec *corev1.Container, action *corev1.HTTPGetAction) (string, error) {
	host, scheme, path := action.Host, "http", action.Path
	if host == "" {
		host = pod.Status.PodIP
	}
	if action.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	port := action.Port.IntValue()
	if action.Port.Type == intstr.String {
		for _, p := range spec.Ports {
			if p.Name == action.Port.StrVal {
				port = int(p.ContainerPort)
			}
		}
	}
	if host == "" || port < 1 || port > 65535 {
		return "", fmt.Errorf("calling the preStop hook: the Pod has no address %q or the container has no port %s", host, action.Port.String())
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port)) + path, nil
}
