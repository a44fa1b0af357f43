// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package stop_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/nodeagent/cri/critest"
	"github.com/keelson/keelson/nodeagent/stop"
)

func TestContainer(t *testing.T) {
	var asked []string
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Why")+" "+r.Host)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	portOf := func(s *httptest.Server) int32 {
		_, text, err := net.SplitHostPort(s.Listener.Addr().String())
		require.NoError(t, err)
		port, err := strconv.Atoi(text)
		require.NoError(t, err)
		return int32(port)
	}
	get := func(action corev1.HTTPGetAction) *corev1.LifecycleHandler {
		return &corev1.LifecycleHandler{HTTPGet: &action}
	}
	for name, tc := range map[string]struct {
		hook      *corev1.LifecycleHandler
		grace     *int64
		wantAsked string
		want      string
		wantHook  string
	}{
		"without a hook":       {want: "stop m1 within 29.9"},
		"with a grace period":  {grace: new(int64(60)), want: "stop m1 within 59.9"},
		"with none":            {grace: new(int64(0)), want: "stop m1 within 2s"},
		"a command goes first": {hook: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"say", "bye"}}}, want: "exec m1 say bye; stop m1 within "},
		"a sleep takes of it":  {hook: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 1}}, grace: new(int64(9)), want: "stop m1 within 7."},
		"a sleep for too long": {hook: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 60}}, grace: new(int64(1)), want: "stop m1 within 2s"},
		"a call over HTTP": {
			hook: get(corev1.HTTPGetAction{Path: "bye", Port: intstr.FromInt32(portOf(plain)), HTTPHeaders: []corev1.HTTPHeader{
				{Name: "Why", Value: "update"}, {Name: "Host", Value: "web.example"},
			}}),
			wantAsked: "GET /bye update web.example", want: "stop m1 within ",
		},
		"a call over HTTPS to a port by its name": {
			hook:      get(corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS, Path: "/bye", Port: intstr.FromString("secure")}),
			wantAsked: "GET /bye  127.0.0.1", want: "stop m1 within ",
		},
		"a port that is not there": {hook: get(corev1.HTTPGetAction{Port: intstr.FromString("wrong")}), wantHook: "the container has no port wrong", want: "stop m1 within "},
		"nobody answers":           {hook: get(corev1.HTTPGetAction{Host: "127.0.0.1", Port: intstr.FromInt32(1)}), wantHook: "calling the preStop hook", want: "stop m1 within "},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			fake := &critest.Fake{}
			pod := &corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: tc.grace}, Status: corev1.PodStatus{PodIP: "127.0.0.1"}}
			spec := &corev1.Container{Name: "main", Ports: []corev1.ContainerPort{{Name: "secure", ContainerPort: portOf(secure)}}}
			if tc.hook != nil {
				spec.Lifecycle = &corev1.Lifecycle{PreStop: tc.hook}
			}
			hook, err := stop.Container(t.Context(), fake, pod, spec, "m1")
			require.NoError(t, err)
			if tc.wantHook == "" {
				require.NoError(t, hook)
			} else {
				require.ErrorContains(t, hook, tc.wantHook)
			}
			assert.True(t, strings.HasPrefix(strings.Join(fake.Done(), "; "), tc.want), fake.Done())
			assert.True(t, strings.HasPrefix(strings.Join(asked, "; "), tc.wantAsked), asked)
		})
	}
	t.Run("a runtime that does not answer", func(t *testing.T) {
		fake := &critest.Fake{}
		fake.Fail(errors.New("not now"))
		_, err := stop.Container(t.Context(), fake, &corev1.Pod{}, &corev1.Container{}, "m1")
		require.Error(t, err)
	})
}
