// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package stop_test

import (
	"cmp"
	"errors"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/nodeagent/cri/critest"
	"github.com/keelson/keelson/nodeagent/stop"
)

// hooks is a server of hooks on one address of this machine; it writes down what it was asked.
type hooks struct {
	*httptest.Server
	mutex sync.Mutex
	asked []string
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mutex.Lock()
	h.asked = append(h.asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Why")+" "+r.Host)
	h.mutex.Unlock()
	switch r.URL.Path {
	case "/away":
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	case "/never":
		<-r.Context().Done()
	case "/talkative":
		w.Header().Set("Chatter", strings.Repeat("x", 1<<20))
	}
}

func (h *hooks) take() []string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

func (h *hooks) port(t *testing.T) int32 {
	t.Helper()
	return int32(h.Listener.Addr().(*net.TCPAddr).Port)
}

func serveHooks(t *testing.T, address string, start func(*httptest.Server)) *hooks {
	t.Helper()
	listener, err := net.Listen("tcp", address+":0")
	require.NoError(t, err)
	h := &hooks{}
	h.Server = httptest.NewUnstartedServer(h)
	require.NoError(t, h.Listener.Close())
	h.Listener = listener
	start(h.Server)
	t.Cleanup(h.Close)
	return h
}

// requireWithin says that the stop of m1, and nothing else, was done, with the time that is left of most: what goes before takes moments.
func requireWithin(t *testing.T, most time.Duration, done []string) {
	t.Helper()
	require.Len(t, done, 1)
	left, err := time.ParseDuration(strings.TrimPrefix(done[0], "stop m1 within "))
	require.NoError(t, err)
	assert.LessOrEqual(t, left, most)
	assert.Greater(t, left, most-5*time.Second)
}

func TestContainer(t *testing.T) {
	plain, secure := serveHooks(t, "127.0.0.1", (*httptest.Server).Start), serveHooks(t, "127.0.0.1", (*httptest.Server).StartTLS)
	second, foreign := serveHooks(t, "127.0.0.2", (*httptest.Server).Start), serveHooks(t, "127.0.0.3", (*httptest.Server).Start)
	get := func(action corev1.HTTPGetAction) *corev1.LifecycleHandler {
		return &corev1.LifecycleHandler{HTTPGet: &action}
	}
	at := func(h *hooks, host, path string, headers ...corev1.HTTPHeader) *corev1.LifecycleHandler {
		return get(corev1.HTTPGetAction{Host: host, Path: path, Port: intstr.FromInt32(h.port(t)), HTTPHeaders: headers})
	}
	for name, tc := range map[string]struct {
		hook      *corev1.LifecycleHandler
		grace     *int64
		wantAsked string
		want      string
		wantHook  string
		// within is the time that the container is given, less what was used before; zero does not ask.
		within time.Duration
	}{
		"without a hook":        {within: 30 * time.Second},
		"with a grace period":   {grace: new(int64(60)), within: time.Minute},
		"with none":             {grace: new(int64(0)), want: "stop m1 within 2s"},
		"with more than can be": {grace: new(int64(math.MaxInt64)), within: math.MaxInt32 * time.Second},
		"a command goes first":  {hook: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"say", "bye"}}}, want: "exec m1 say bye; stop m1 within "},
		"a sleep takes of it":   {hook: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 1}}, grace: new(int64(9)), within: 8 * time.Second},
		"a sleep for too long":  {hook: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 60}}, grace: new(int64(1)), want: "stop m1 within 2s"},
		"a call over HTTP": {
			hook: at(plain, "", "bye", corev1.HTTPHeader{Name: "Why", Value: "update"}), wantAsked: "GET /bye update " + plain.Listener.Addr().String(),
		},
		"a call over HTTPS to a port by its name": {
			hook:      get(corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS, Path: "/bye", Port: intstr.FromString("secure")}),
			wantAsked: "GET /bye  127.0.0.1",
		},
		"a path that looks like a host":      {hook: at(plain, "", "/@"+foreign.Listener.Addr().String()), wantAsked: "GET /@127.0.0.3"},
		"a call that names the Pod":          {hook: at(plain, "127.0.0.1", "/"), wantAsked: "GET / "},
		"a call of another IP of the Pod":    {hook: at(second, "127.0.0.2", "/"), wantAsked: "GET / "},
		"no call of another host":            {hook: at(foreign, "127.0.0.3", "/"), wantHook: `its host "127.0.0.3" is not an IP of the Pod`},
		"no call of a name":                  {hook: at(plain, "localhost", "/"), wantHook: `its host "localhost" is not an IP of the Pod`},
		"no call of what stands for all IPs": {hook: at(plain, "0.0.0.0", "/"), wantHook: `its host "0.0.0.0" is not an IP of the Pod`},
		"a Host header of others is left out": {
			hook:      at(plain, "", "/bye", corev1.HTTPHeader{Name: "host", Value: "web.example"}),
			wantAsked: "GET /bye  " + plain.Listener.Addr().String(), wantHook: `the header Host "web.example" was left out`,
		},
		"a Host header that names the Pod": {hook: at(plain, "", "/bye", corev1.HTTPHeader{Name: "Host", Value: "127.0.0.2"}), wantAsked: "GET /bye  127.0.0.2"},
		"a redirect is not followed":       {hook: at(plain, "", "/away?to="+foreign.URL), wantAsked: "GET /away  "},
		"an answer that does not come":     {hook: at(plain, "", "/never"), grace: new(int64(1)), wantAsked: "GET /never  ", wantHook: "deadline exceeded", want: "stop m1 within 2s"},
		"an answer that does not end":      {hook: at(plain, "", "/talkative"), wantAsked: "GET /talkative  ", wantHook: "server response headers exceeded"},
		"a port that is not there":         {hook: get(corev1.HTTPGetAction{Port: intstr.FromString("wrong")}), wantHook: "the container has no port wrong"},
		"nobody answers":                   {hook: get(corev1.HTTPGetAction{Host: "127.0.0.1", Port: intstr.FromInt32(1)}), wantHook: "calling the preStop hook"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &critest.Fake{}
			pod := &corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: tc.grace}}
			pod.Status.PodIP, pod.Status.PodIPs = "127.0.0.1", []corev1.PodIP{{IP: "127.0.0.1"}, {IP: "127.0.0.2"}}
			spec := &corev1.Container{Name: "main", Ports: []corev1.ContainerPort{{Name: "secure", ContainerPort: secure.port(t)}}}
			if tc.hook != nil {
				spec.Lifecycle = &corev1.Lifecycle{PreStop: tc.hook}
			}
			hook, err := stop.Container(t.Context(), fake, stop.Target{Pod: pod, Spec: spec, ID: "m1"})
			require.NoError(t, err)
			if tc.wantHook == "" {
				require.NoError(t, hook)
			} else {
				require.ErrorContains(t, hook, tc.wantHook)
			}
			assert.True(t, strings.HasPrefix(strings.Join(fake.Done(), "; "), cmp.Or(tc.want, "stop m1 within ")), fake.Done())
			if tc.within != 0 {
				requireWithin(t, tc.within, fake.Done())
			}
			asked := strings.Join(append(append(plain.take(), secure.take()...), second.take()...), "; ")
			assert.True(t, strings.HasPrefix(asked, tc.wantAsked), asked)
			assert.Equal(t, tc.wantAsked == "", asked == "", asked)
			assert.Empty(t, foreign.take(), "who is not the Pod hears nothing")
		})
	}
	t.Run("a hook that was started before is not started again", func(t *testing.T) {
		fake := &critest.Fake{}
		spec := &corev1.Container{Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"say", "bye"}}}}}
		hook, err := stop.Container(t.Context(), fake, stop.Target{Pod: &corev1.Pod{}, Spec: spec, ID: "m1", HookWasStarted: true})
		require.NoError(t, errors.Join(hook, err))
		requireWithin(t, 30*time.Second, fake.Done())
	})
	t.Run("a runtime that does not answer", func(t *testing.T) {
		fake := &critest.Fake{}
		fake.Fail(errors.New("not now"))
		_, err := stop.Container(t.Context(), fake, stop.Target{Pod: &corev1.Pod{}, Spec: &corev1.Container{}, ID: "m1"})
		require.Error(t, err)
	})
}
