// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cri_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/keelson/keelson/nodeagent/cri"
)

func TestARuntimeMayBeLostAndFound(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "containerd/containerd.sock")
	s := &speaker{name: "containerd", containers: []*runtimev1.Container{kubeletContainer("pod-1", "main", "m1")}}
	stop := s.listen(t, socket)
	runtime, version, err := cri.Connect(t.Context(), dir, "")
	require.NoError(t, err)
	start := func(patience time.Duration) (*cri.Watch, chan error) {
		w := cri.NewWatch(runtime, version, cri.WatchOptions{Every: 10 * time.Millisecond, Patience: patience})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		t.Cleanup(cancel)
		return w, ended
	}
	patient, patientEnded := start(time.Hour)
	impatient, _ := start(0)
	require.NoError(t, patient.Ready())
	require.NoError(t, impatient.Alive())

	stop()
	require.NoFileExists(t, socket, "the socket goes with the runtime")
	isLost := func(w *cri.Watch) func() bool { return func() bool { return w.Ready() != nil } }
	require.Eventually(t, isLost(patient), 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, isLost(impatient), 20*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, patient.Ready(), cri.ErrUnavailable)
	require.ErrorContains(t, patient.Ready(), "containerRuntime: lost since 2")
	require.NoError(t, patient.Alive(), "it may come back")
	require.ErrorContains(t, impatient.Alive(), "containerRuntime: lost since 2")

	stop = s.listen(t, socket)
	require.Eventually(t, func() bool { return patient.Ready() == nil && impatient.Alive() == nil }, 20*time.Second, 10*time.Millisecond)
	all, err := runtime.Containers(t.Context(), "pod-1")
	require.NoError(t, err)
	assert.Len(t, all, 1)

	stop()
	require.NoError(t, os.RemoveAll(filepath.Dir(socket)))
	other := &speaker{name: "cri-o"}
	other.listen(t, socket)
	require.ErrorContains(t, <-patientEnded, `the container runtime was "containerd" and is now "cri-o"`)
}
