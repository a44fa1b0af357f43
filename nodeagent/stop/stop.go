// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stop ends single containers of Pods that live on, as the kubelet ends those of Pods that go: first the preStop hook, then the signal, both
// within one grace period. The kubelet then starts the container again.
package stop

import (
	"context"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/nodeagent/cri"
)

const (
	// defaultGrace is the grace period of a Pod that says none.
	defaultGrace = 30 * time.Second
	// leastGrace is left for the signal, however long the hook took.
	leastGrace = 2 * time.Second
	// mostGrace is what a grace period counts as when it is longer, in seconds: 68 years. More would not fit the arithmetic of durations.
	mostGrace = math.MaxInt32
)

// Target is a container that is to end.
type Target struct {
	// Pod is the one that it belongs to, Spec what the Pod says of it, and ID the runtime's.
	Pod  *corev1.Pod
	Spec *corev1.Container
	ID   string
	// HookWasStarted says that an earlier try to end it started its preStop hook, which is not started again.
	HookWasStarted bool
}

// HasHook says that a container has something to do before it is stopped.
func HasHook(spec *corev1.Container) bool {
	return spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil
}

// Container ends a container of a Pod, and returns when it has ended. What went wrong with its hook does not keep it from being ended, and is returned as
// the first value.
func Container(ctx context.Context, runtime cri.Runtime, t Target) (hook, err error) {
	grace := defaultGrace
	if wanted := t.Pod.Spec.TerminationGracePeriodSeconds; wanted != nil {
		grace = max(time.Duration(min(*wanted, mostGrace))*time.Second, leastGrace)
	}
	begun := time.Now()
	if HasHook(t.Spec) && !t.HookWasStarted {
		hook = preStop(ctx, runtime, t, grace)
	}
	return hook, runtime.Stop(ctx, t.ID, max(grace-time.Since(begun), leastGrace))
}

// preStop runs the hook of a container, and gives it no more time than the grace period.
func preStop(ctx context.Context, runtime cri.Runtime, t Target, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	switch hook := t.Spec.Lifecycle.PreStop; {
	case hook.Exec != nil:
		return runtime.Exec(ctx, t.ID, hook.Exec.Command, grace)
	case hook.HTTPGet != nil:
		return get(ctx, t.Pod, t.Spec, hook.HTTPGet)
	case hook.Sleep != nil:
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(min(hook.Sleep.Seconds, mostGrace)) * time.Second):
		}
	}
	return nil
}
