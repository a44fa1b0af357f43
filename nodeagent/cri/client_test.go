// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cri_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/keelson/keelson/nodeagent/cri"
	"github.com/keelson/keelson/nodeagent/cri/critest"
)

// speaker speaks the protocol of container runtimes on a socket, so that what goes over the wire is tested.
type speaker struct {
	runtimev1.UnimplementedRuntimeServiceServer
	name       string
	containers []*runtimev1.Container
	// info is the verbose part of every container's status, done what was asked for.
	info map[string]string
	done []string
	// listing is how many answers with containers are being made, mostListing the most at once so far; listed, if set, is called meanwhile.
	listing, mostListing atomic.Int32
	listed               func()
	// written is how many bytes were sent.
	written atomic.Int64
}

func (s *speaker) Version(context.Context, *runtimev1.VersionRequest) (*runtimev1.VersionResponse, error) {
	return &runtimev1.VersionResponse{RuntimeName: s.name, RuntimeVersion: "v9"}, nil
}

func (s *speaker) ListContainers(_ context.Context, r *runtimev1.ListContainersRequest) (*runtimev1.ListContainersResponse, error) {
	for now := s.listing.Add(1); ; {
		if most := s.mostListing.Load(); now <= most || s.mostListing.CompareAndSwap(most, now) {
			break
		}
	}
	defer s.listing.Add(-1)
	if s.listed != nil {
		s.listed()
	}
	var found []*runtimev1.Container
	for _, c := range s.containers {
		isMine := true
		for key, value := range r.GetFilter().GetLabelSelector() {
			isMine = isMine && c.Labels[key] == value
		}
		if isMine {
			found = append(found, c)
		}
	}
	return &runtimev1.ListContainersResponse{Containers: found}, nil
}

func (s *speaker) find(id string) *runtimev1.Container {
	for _, c := range s.containers {
		if c.Id == id {
			return c
		}
	}
	return nil
}

func (s *speaker) ContainerStatus(_ context.Context, r *runtimev1.ContainerStatusRequest) (*runtimev1.ContainerStatusResponse, error) {
	if s.find(r.ContainerId) == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	return &runtimev1.ContainerStatusResponse{Info: s.info}, nil
}

func (s *speaker) ExecSync(_ context.Context, r *runtimev1.ExecSyncRequest) (*runtimev1.ExecSyncResponse, error) {
	if r.Cmd[0] == "shout" {
		return &runtimev1.ExecSyncResponse{Stdout: make([]byte, 15<<20), ExitCode: 1}, nil
	}
	s.done = append(s.done, fmt.Sprintf("exec %s %v %d", r.ContainerId, r.Cmd, r.Timeout))
	if r.Cmd[0] == "complain" {
		return &runtimev1.ExecSyncResponse{ExitCode: 1, Stderr: bytes.Repeat([]byte("no"), 10<<10)}, nil
	}
	if r.Cmd[0] == "false" {
		return &runtimev1.ExecSyncResponse{ExitCode: 1, Stderr: []byte("it is false\n")}, nil
	}
	return &runtimev1.ExecSyncResponse{}, nil
}

func (s *speaker) StopContainer(_ context.Context, r *runtimev1.StopContainerRequest) (*runtimev1.StopContainerResponse, error) {
	if s.find(r.ContainerId) == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	s.done = append(s.done, fmt.Sprintf("stop %s %d", r.ContainerId, r.Timeout))
	return &runtimev1.StopContainerResponse{}, nil
}

// info is what containerd says of a container, as far as we look at it.
const info = `{"sandboxID":"s","pid":7,"runtimeSpec":{"ociVersion":"1.1.0","process":{"args":["/demo"],"env":["PATH=/bin","TIER=a=b","EMPTY="]}},"config":{}}`

func TestEnvironment(t *testing.T) {
	for name, tc := range map[string]struct {
		info      map[string]string
		want      map[string]string
		wantError string
	}{
		"what the OCI runtime was given":      {info: map[string]string{"info": info}, want: map[string]string{"PATH": "/bin", "TIER": "a=b", "EMPTY": ""}},
		"a runtime that says nothing":         {},
		"a runtime that says something else":  {info: map[string]string{"info": `{"pid":7}`}},
		"a runtime that says what is no JSON": {info: map[string]string{"info": "{"}, wantError: "reading what the runtime says of a container"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			s := &speaker{name: "containerd", info: tc.info, containers: []*runtimev1.Container{kubeletContainer("pod-1", "main", "m1")}}
			s.listen(t, filepath.Join(dir, "containerd.sock"))
			runtime, _, err := cri.Connect(t.Context(), dir, "")
			require.NoError(t, err)
			got, err := runtime.Environment(t.Context(), "m1")
			if tc.wantError != "" {
				require.ErrorContains(t, err, tc.wantError)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestExecAndStop(t *testing.T) {
	dir := shortDir(t)
	s := &speaker{name: "containerd", containers: []*runtimev1.Container{kubeletContainer("pod-1", "main", "m1")}}
	s.listen(t, filepath.Join(dir, "containerd.sock"))
	runtime, _, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	require.NoError(t, runtime.Exec(t.Context(), "m1", []string{"say", "bye"}, 1500*time.Millisecond))
	require.ErrorContains(t, runtime.Exec(t.Context(), "m1", []string{"false"}, time.Second), "it ended with code 1: it is false")
	require.NoError(t, runtime.Stop(t.Context(), "m1", 2*time.Second))
	err = runtime.Exec(t.Context(), "m1", []string{"complain"}, time.Second)
	require.ErrorContains(t, err, "it ended with code 1: nono")
	assert.Less(t, len(err.Error()), 1200, "a part of what it wrote will do")
	s.done = s.done[:3]
	assert.Equal(t, []string{"exec m1 [say bye] 2", "exec m1 [false] 1", "stop m1 2"}, s.done)
}

func TestTheOutputOfCommandsIsNotRead(t *testing.T) {
	dir := shortDir(t)
	s := &speaker{name: "containerd", containers: []*runtimev1.Container{kubeletContainer("pod-1", "main", "m1")}}
	s.listen(t, filepath.Join(dir, "containerd.sock"))
	runtime, _, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			err := runtime.Exec(t.Context(), "m1", []string{"shout"}, time.Second)
			assert.ErrorContains(t, err, "whether it succeeded is not known, it wrote more than 32 KiB")
		})
	}
	group.Wait()
	assert.Less(t, s.written.Load(), int64(2<<20), "of the 150 MiB that were written")
	all, err := runtime.Containers(t.Context(), "pod-1")
	require.NoError(t, err, "the runtime can be asked as before")
	assert.Len(t, all, 1)
}

func TestFewAnswersAreReadAtOnce(t *testing.T) {
	dir := shortDir(t)
	enough, answer := make(chan struct{}, 20), make(chan struct{})
	s := &speaker{name: "containerd", listed: func() { enough <- struct{}{}; <-answer }}
	s.listen(t, filepath.Join(dir, "containerd.sock"))
	runtime, _, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			_, err := runtime.Containers(t.Context(), "pod-1")
			assert.NoError(t, err)
		})
	}
	for range 3 {
		<-enough
	}
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = runtime.Environment(impatient, "m1")
	require.ErrorIs(t, err, cri.ErrUnavailable, "who waits for others gives up when told")
	close(answer)
	group.Wait()
	assert.LessOrEqual(t, s.mostListing.Load(), int32(3))
}

// counted is a connection whose sent bytes are counted.
type counted struct {
	net.Conn
	written *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

type countedListener struct {
	net.Listener
	written *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return counted{Conn: c, written: l.written}, err
}

// listen serves on a socket until stop is called or the test ends.
func (s *speaker) listen(t *testing.T, socket string) (stop func()) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(socket), 0o700))
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := grpc.NewServer()
	runtimev1.RegisterRuntimeServiceServer(server, s)
	var isStopped atomic.Bool
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(countedListener{Listener: listener, written: &s.written}) }()
	stop = func() {
		if isStopped.CompareAndSwap(false, true) {
			server.Stop()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return stop
}

// shortDir is a folder whose name is short enough for sockets in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cri")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func kubeletContainer(podUID, name, id string) *runtimev1.Container {
	return &runtimev1.Container{
		Id: id, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC).UnixNano(), State: runtimev1.ContainerState_CONTAINER_RUNNING,
		Labels:      map[string]string{"io.kubernetes.pod.uid": podUID, "io.kubernetes.container.name": name},
		Annotations: map[string]string{"io.kubernetes.container.hash": "ffffffff0000cafe", "io.kubernetes.container.restartCount": "3"},
	}
}

func TestFakeIsARuntime(t *testing.T) {
	fake := &critest.Fake{}
	fake.SetEnvironment("m1", map[string]string{"PATH": "/"})
	fake.Set("pod-1", cri.Container{ID: "m1", Name: "main", Created: time.Unix(1, 0), Running: true, SpecHash: 1})
	critest.TestRuntime(t, fake, "pod-1")
}

func TestClientIsARuntime(t *testing.T) {
	dir := shortDir(t)
	s := &speaker{name: "containerd", info: map[string]string{"info": info}, containers: []*runtimev1.Container{
		kubeletContainer("pod-1", "main", "m1"), kubeletContainer("pod-2", "main", "m2"),
	}}
	s.listen(t, filepath.Join(dir, "containerd.sock"))
	runtime, version, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	assert.Equal(t, cri.Version{Name: "containerd", Version: "v9"}, version)
	critest.TestRuntime(t, runtime, "pod-1")
}

// TestRealRuntimeIsARuntime runs where KEELSON_CRI_SOCKET names the socket of a runtime and KEELSON_CRI_POD the UID of a Pod with one running container
// called main.
func TestRealRuntimeIsARuntime(t *testing.T) {
	socket, podUID := os.Getenv("KEELSON_CRI_SOCKET"), os.Getenv("KEELSON_CRI_POD")
	if socket == "" {
		t.Skip("KEELSON_CRI_SOCKET names no container runtime")
	}
	runtime, _, err := cri.Connect(t.Context(), "/", socket)
	require.NoError(t, err)
	critest.TestRuntime(t, runtime, podUID)
}

func TestContainers(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	tests := map[string]struct {
		change func(*runtimev1.Container)
		want   cri.Container
	}{
		"what the kubelet noted is read, a hash of 64 bits included": {
			change: func(*runtimev1.Container) {},
			want:   cri.Container{ID: "m1", Name: "main", Running: true, RestartCount: 3, SpecHash: 0xffffffff0000cafe},
		},
		"a container that ended is listed": {
			change: func(c *runtimev1.Container) { c.State = runtimev1.ContainerState_CONTAINER_EXITED },
			want:   cri.Container{ID: "m1", Name: "main", RestartCount: 3, SpecHash: 0xffffffff0000cafe},
		},
		"a container without notes has zeros": {
			change: func(c *runtimev1.Container) { c.Annotations = nil },
			want:   cri.Container{ID: "m1", Name: "main", Running: true},
		},
		"notes that cannot be read are zeros": {
			change: func(c *runtimev1.Container) {
				c.Annotations = map[string]string{"io.kubernetes.container.hash": "no number", "io.kubernetes.container.restartCount": "-"}
			},
			want: cri.Container{ID: "m1", Name: "main", Running: true},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			c := kubeletContainer("pod-1", "main", "m1")
			tc.change(c)
			(&speaker{name: "cri-o", containers: []*runtimev1.Container{c}}).listen(t, filepath.Join(dir, "crio/crio.sock"))
			runtime, _, err := cri.Connect(t.Context(), dir, "")
			require.NoError(t, err)
			got, err := runtime.Containers(t.Context(), "pod-1")
			require.NoError(t, err)
			require.Len(t, got, 1)
			assert.True(t, created.Equal(got[0].Created))
			got[0].Created = time.Time{}
			assert.Equal(t, tc.want, got[0])
		})
	}
}

func TestAnswersMayBeLarge(t *testing.T) {
	dir := shortDir(t)
	s := &speaker{name: "containerd"}
	for range 3 {
		c := kubeletContainer("pod-1", "main", "m1")
		c.Annotations["large"] = strings.Repeat("x", 2<<20)
		s.containers = append(s.containers, c)
	}
	s.listen(t, filepath.Join(dir, "containerd.sock"))
	runtime, _, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	got, err := runtime.Containers(t.Context(), "pod-1")
	require.NoError(t, err)
	assert.Len(t, got, 3)
}

func TestARuntimeMayRestart(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "containerd/containerd.sock")
	s := &speaker{name: "containerd", containers: []*runtimev1.Container{kubeletContainer("pod-1", "main", "m1")}}
	stop := s.listen(t, socket)
	runtime, _, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	stop()
	_, err = runtime.Containers(t.Context(), "pod-1")
	require.ErrorIs(t, err, cri.ErrUnavailable)

	s.listen(t, socket)
	require.Eventually(t, func() bool {
		got, err := runtime.Containers(t.Context(), "pod-1")
		return err == nil && len(got) == 1
	}, 20*time.Second, 50*time.Millisecond)
}

func TestConnectPrefersTheFirstThatAnswers(t *testing.T) {
	dir := shortDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "containerd.sock"), nil, 0o600))
	(&speaker{name: "cri-o"}).listen(t, filepath.Join(dir, "crio/crio.sock"))
	(&speaker{name: "docker"}).listen(t, filepath.Join(dir, "cri-dockerd.sock"))
	_, version, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	assert.Equal(t, "cri-o", version.Name)

	_, version, err = cri.Connect(t.Context(), dir, "cri-dockerd.sock")
	require.NoError(t, err)
	assert.Equal(t, "docker", version.Name)

	_, version, err = cri.Connect(t.Context(), "/nowhere", filepath.Join(dir, "crio/crio.sock"))
	require.NoError(t, err)
	assert.Equal(t, "cri-o", version.Name)
}

func TestConnectSaysWhatItTried(t *testing.T) {
	dir := shortDir(t)
	(&speaker{name: "rocket"}).listen(t, filepath.Join(dir, "crio.sock"))
	tests := map[string]struct {
		root, socket string
		want         []string
	}{
		"no socket": {
			root: "/nowhere",
			want: []string{
				"--socket-file must name its socket",
				"/nowhere/containerd.sock: no such file", "/nowhere/containerd/containerd.sock", "/nowhere/crio.sock", "/nowhere/crio/crio.sock",
				"/nowhere/cri-dockerd.sock", "/nowhere/cri-dockerd/cri-dockerd.sock",
			},
		},
		"a socket of a runtime that is not known": {
			root: dir,
			want: []string{"--socket-file", filepath.Join(dir, "crio.sock") + `: the container runtime "rocket" is not known; it must be one of containerd, cri-o, docker`},
		},
		"a named socket of a runtime that is not known": {
			root: dir, socket: "crio.sock",
			want: []string{"--socket-file=" + filepath.Join(dir, "crio.sock") + `: the container runtime "rocket" is not known`},
		},
		"a named socket that is not there": {
			root: dir, socket: "other.sock",
			want: []string{"--socket-file=" + filepath.Join(dir, "other.sock") + ": no such file"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := cri.Connect(t.Context(), tc.root, tc.socket)
			require.Error(t, err)
			for _, want := range tc.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}
