// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cri reaches the container runtime of a node. Runtime is all that we ask of one; Connect finds the real one, critest holds a fake and the
// conformance test that both pass.
package cri

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable says that the runtime does not answer; it may later.
var ErrUnavailable = errors.New("the container runtime does not answer")

// Runtime is what the node agent asks of a container runtime. Errors are ErrUnavailable, context.Canceled, or final.
type Runtime interface {
	// Version says which runtime it is.
	Version(ctx context.Context) (Version, error)
	// Containers lists the containers of a Pod by its UID, ended ones too, in any order. A Pod that is not known has none.
	Containers(ctx context.Context, podUID string) ([]Container, error)
	// Environment is what a container was started with, by its ID. It is nil when the runtime knows the container no more, or does not tell.
	Environment(ctx context.Context, id string) (map[string]string, error)
	// Exec runs a command in a container and waits for its end, for a limited time. A command that fails is an error.
	Exec(ctx context.Context, id string, command []string, limit time.Duration) error
	// Stop ends a container: it gets the signal to end, and is killed when it still runs after the grace period. One that has ended, or is not
	// known, is left alone.
	Stop(ctx context.Context, id string, grace time.Duration) error
}

// Version identifies a runtime.
type Version struct {
	// Name is "containerd", "cri-o" or "docker"; it prefixes the container IDs in a Pod's status.
	Name string
	// Version is the runtime's own.
	Version string
}

// Container is one container as the runtime knows it.
type Container struct {
	// ID is the runtime's, without a prefix.
	ID string
	// Name is the container's name in the Pod.
	Name string
	// Created is when it was created; of two with one name the later is the current one.
	Created time.Time
	// Running says that its process runs.
	Running bool
	// RestartCount is how often the kubelet has started it again.
	RestartCount int32
	// SpecHash is the kubelet's hash of the specification it was created from; zero when the kubelet left none.
	SpecHash uint64
}
