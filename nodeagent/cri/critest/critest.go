// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package critest holds a fake container runtime, and the test that it passes as real ones do.
package critest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/keelson/keelson/nodeagent/cri"
)

// Fake is a Runtime whose containers a test sets.
type Fake struct {
	mutex        sync.Mutex
	containers   map[string][]cri.Container
	environments map[string]map[string]string
	failure      error
	stopFailure  error
	calls        int
	done         []string
	held         map[string]chan struct{}
}

var _ cri.Runtime = &Fake{}

// Set replaces the containers of a Pod.
func (f *Fake) Set(podUID string, containers ...cri.Container) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.containers == nil {
		f.containers = map[string][]cri.Container{}
	}
	f.containers[podUID] = slices.Clone(containers)
}

// SetEnvironment says what a container was started with.
func (f *Fake) SetEnvironment(id string, environment map[string]string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.environments == nil {
		f.environments = map[string]map[string]string{}
	}
	f.environments[id] = environment
}

// Environment implements cri.Runtime.
func (f *Fake) Environment(ctx context.Context, id string) (map[string]string, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return maps.Clone(f.environments[id]), errors.Join(f.failure, ctx.Err())
}

// Exec implements cri.Runtime: it writes down what was to be run.
func (f *Fake) Exec(ctx context.Context, id string, command []string, _ time.Duration) error {
	return f.do(ctx, id, "exec "+id+" "+strings.Join(command, " "))
}

// Stop implements cri.Runtime: the container runs no more.
func (f *Fake) Stop(ctx context.Context, id string, grace time.Duration) error {
	if err := f.do(ctx, id, "stop "+id+" within "+grace.String()); err != nil {
		return err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, list := range f.containers {
		for i := range list {
			list[i].Running = list[i].Running && list[i].ID != id
		}
	}
	return nil
}

// FailStops makes every Exec and Stop fail, or no more with nil.
func (f *Fake) FailStops(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.stopFailure = err
}

// Hold makes each Exec and Stop of a container last until Release, or until its context ends.
func (f *Fake) Hold(id string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.held == nil {
		f.held = map[string]chan struct{}{}
	}
	f.held[id] = make(chan struct{})
}

// Release ends what Hold began.
func (f *Fake) Release(id string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	close(f.held[id])
	delete(f.held, id)
}

func (f *Fake) do(ctx context.Context, id, what string) error {
	held, err := f.begin(ctx, id, what)
	if err != nil || held == nil {
		return err
	}
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin writes down what was asked for; what it returns, if anything, must be waited for.
func (f *Fake) begin(ctx context.Context, id, what string) (<-chan struct{}, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if err := errors.Join(f.failure, f.stopFailure, ctx.Err()); err != nil {
		return nil, err
	}
	f.done = append(f.done, what)
	return f.held[id], nil
}

// Done are the commands and stops so far, in order.
func (f *Fake) Done() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.Clone(f.done)
}

// Fail makes every call fail, or no more with nil.
func (f *Fake) Fail(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.failure = err
}

// Version implements cri.Runtime.
func (f *Fake) Version(ctx context.Context) (cri.Version, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return cri.Version{Name: "containerd", Version: "fake"}, errors.Join(f.failure, ctx.Err())
}

// Containers implements cri.Runtime.
func (f *Fake) Containers(ctx context.Context, podUID string) ([]cri.Container, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls++
	if err := errors.Join(f.failure, ctx.Err()); err != nil {
		return nil, err
	}
	return slices.Clone(f.containers[podUID]), nil
}

// Calls is how often Containers was called.
func (f *Fake) Calls() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.calls
}

// TestRuntime checks that a runtime keeps the promises of cri.Runtime. podUID names a Pod with one running container called main, created by a kubelet.
func TestRuntime(t *testing.T, runtime cri.Runtime, podUID string) {
	t.Run("it says what it is", func(t *testing.T) {
		version, err := runtime.Version(t.Context())
		require.NoError(t, err)
		assert.NotEmpty(t, version.Name)
		assert.NotEmpty(t, version.Version)
	})
	t.Run("a Pod that is not known has no containers", func(t *testing.T) {
		all, err := runtime.Containers(t.Context(), "no-such-pod")
		require.NoError(t, err)
		assert.Empty(t, all)
	})
	t.Run("a container has an identity", func(t *testing.T) {
		all, err := runtime.Containers(t.Context(), podUID)
		require.NoError(t, err)
		require.Len(t, all, 1)
		assert.Equal(t, "main", all[0].Name)
		assert.NotEmpty(t, all[0].ID)
		assert.True(t, all[0].Running)
		assert.NotZero(t, all[0].SpecHash)
		assert.False(t, all[0].Created.IsZero())
	})
	t.Run("a container that is not known has no environment, and is stopped already", func(t *testing.T) {
		environment, err := runtime.Environment(t.Context(), "no-such-container")
		require.NoError(t, err)
		assert.Empty(t, environment)
		require.NoError(t, runtime.Stop(t.Context(), "no-such-container", time.Second))
	})
	t.Run("a container has an environment", func(t *testing.T) {
		all, err := runtime.Containers(t.Context(), podUID)
		require.NoError(t, err)
		environment, err := runtime.Environment(t.Context(), all[0].ID)
		require.NoError(t, err)
		assert.Contains(t, environment, "PATH")
	})
	t.Run("it is asked again and says the same", func(t *testing.T) {
		first, err := runtime.Containers(t.Context(), podUID)
		require.NoError(t, err)
		second, err := runtime.Containers(t.Context(), podUID)
		require.NoError(t, err)
		assert.ElementsMatch(t, first, second)
	})
	t.Run("a caller who gave up hears that", func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := runtime.Containers(ended, podUID)
		require.ErrorIs(t, err, context.Canceled)
		_, err = runtime.Version(ended)
		require.ErrorIs(t, err, context.Canceled)
	})
}
