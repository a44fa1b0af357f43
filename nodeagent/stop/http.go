// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package stop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// maxHeaders is how many bytes of headers are read of an answer. Its body is not read.
const maxHeaders = 32 << 10

// get calls a hook over HTTP. As for the kubelet, any answer will do. Unlike the kubelet it speaks to the Pod alone, since whoever may create a Pod would
// else choose whom this node calls: no other host, by no other name, through no proxy, and it follows no redirect.
func get(ctx context.Context, pod *corev1.Pod, spec *corev1.Container, action *corev1.HTTPGetAction) error {
	url, err := urlOf(pod, spec, action)
	if err != nil {
		return fmt.Errorf("calling the preStop hook: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("calling the preStop hook: %w", err)
	}
	hostErr := addHeaders(request, pod, action)
	transport := &http.Transport{
		// COMPAT: a kubelet asks for no trusted certificate either.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeaders,
	}
	// A client would follow redirects; a transport does not.
	answer, err := transport.RoundTrip(request)
	if err == nil {
		err = answer.Body.Close()
	}
	if err != nil {
		err = fmt.Errorf("calling the preStop hook: %w", err)
	}
	return errors.Join(hostErr, err)
}

// addHeaders adds the headers that the hook asks for. Those that would make the Pod take the call for one of another host are left out, and the error tells.
func addHeaders(request *http.Request, pod *corev1.Pod, action *corev1.HTTPGetAction) error {
	var left error
	for _, header := range action.HTTPHeaders {
		switch name := http.CanonicalHeaderKey(header.Name); {
		case name != "Host":
			request.Header.Add(name, header.Value)
		case isOwn(pod, withoutPort(header.Value)):
			request.Host = header.Value
		default:
			left = fmt.Errorf("calling the preStop hook: the header Host %q was left out: it does not name an IP of the Pod", header.Value)
		}
	}
	return left
}

// urlOf is where a hook is called: at an IP of the Pod. A host that is something else is an error.
func urlOf(pod *corev1.Pod, spec *corev1.Container, action *corev1.HTTPGetAction) (string, error) {
	host, scheme, path := action.Host, "http", action.Path
	switch {
	case host == "":
		host = pod.Status.PodIP
	case !isOwn(pod, host):
		return "", fmt.Errorf("it was not called: its host %q is not an IP of the Pod", host)
	}
	if action.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	port := action.Port.IntValue()
	if i := slices.IndexFunc(spec.Ports, func(p corev1.ContainerPort) bool { return p.Name != "" && p.Name == action.Port.StrVal }); i >= 0 {
		port = int(spec.Ports[i].ContainerPort)
	}
	if host == "" || port < 1 || port > 65535 {
		return "", fmt.Errorf("the Pod has no address %q or the container has no port %s", host, action.Port.String())
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port)) + path, nil
}

// isOwn says that a host is an IP of the Pod, in whatever way it is written.
func isOwn(pod *corev1.Pod, host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	own := func(text string) bool {
		mine, err := netip.ParseAddr(text)
		return err == nil && mine == ip
	}
	return own(pod.Status.PodIP) || slices.ContainsFunc(pod.Status.PodIPs, func(p corev1.PodIP) bool { return own(p.IP) })
}

func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
