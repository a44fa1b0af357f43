// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// callTimeout bounds one call of the runtime.
const callTimeout = 5 * time.Second

// What is kept of answers is bounded, since tenants decide how large they are.
const (
	// questions is how many answers are read at once, other than to commands and stops.
	questions = 3
	// maxMessage is how large such an answer may be: the environment of a container can be as large as 6 MiB, and most are a few KiB.
	maxMessage = 8 << 20
	// maxOutput is how large the answer to a command may be, which is all that it wrote.
	maxOutput = 32 << 10
	// maxReason is how much of what a command wrote is told when it failed.
	maxReason = 1 << 10
	// window is how much of an answer is on its way before it is read. If it is not set it grows with the answers.
	window = 64 << 10
)

// Tries to reach a runtime that is gone, such as one that restarts, follow each other at these intervals.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Labels and annotations that the kubelet puts on containers.
const (
	podUIDLabel            = "io.kubernetes.pod.uid"
	containerNameLabel     = "io.kubernetes.container.name"
	hashAnnotation         = "io.kubernetes.container.hash"
	restartCountAnnotation = "io.kubernetes.container.restartCount"
)

// client is a Runtime behind a CRI socket.
type client struct {
	connection *grpc.ClientConn
	runtime    runtimev1.RuntimeServiceClient
	// asked holds an element for each question that is being answered.
	asked chan struct{}
}

var _ Runtime = &client{}

// open reaches the runtime behind a socket. The connection is made when it is first needed, and again after the runtime restarted.
func open(socket string) (*client, error) {
	connection, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(16*window),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRetry, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastRetry},
			MinConnectTimeout: callTimeout,
		}))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", socket, err)
	}
	return &client{connection: connection, runtime: runtimev1.NewRuntimeServiceClient(connection), asked: make(chan struct{}, questions)}, nil
}

// ask waits until there is room for one more answer. The context that it returns bounds the call; done must be called when the answer has been read.
func (c *client) ask(ctx context.Context) (bounded context.Context, done func(), err error) {
	select {
	case c.asked <- struct{}{}:
		bounded, cancel := context.WithTimeout(ctx, callTimeout)
		return bounded, func() { cancel(); <-c.asked }, nil
	case <-ctx.Done():
		return nil, nil, translate("waiting for other answers", status.FromContextError(ctx.Err()).Err())
	}
}

// Version implements Runtime.
func (c *client) Version(ctx context.Context) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	v, err := c.runtime.Version(ctx, &runtimev1.VersionRequest{})
	if err != nil {
		return Version{}, translate("asking for the version", err)
	}
	return Version{Name: v.RuntimeName, Version: v.RuntimeVersion}, nil
}

// Containers implements Runtime.
func (c *client) Containers(ctx context.Context, podUID string) ([]Container, error) {
	ctx, done, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := c.runtime.ListContainers(ctx, &runtimev1.ListContainersRequest{
		Filter: &runtimev1.ContainerFilter{LabelSelector: map[string]string{podUIDLabel: podUID}},
	})
	if err != nil {
		return nil, translate("listing containers", err)
	}
	all := make([]Container, 0, len(list.Containers))
	for _, container := range list.Containers {
		all = append(all, read(container))
	}
	return all, nil
}

// Environment implements Runtime. Runtimes tell it in the verbose form of a container's status, as part of what they handed to the OCI runtime:
// nothing has to be run in the container.
func (c *client) Environment(ctx context.Context, id string) (map[string]string, error) {
	ctx, done, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	answer, err := c.runtime.ContainerStatus(ctx, &runtimev1.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, translate("asking for the environment of container "+id, err)
	}
	return environment(answer.Info["info"])
}

// environment reads the verbose information about a container.
func environment(info string) (map[string]string, error) {
	var known struct {
		RuntimeSpec *struct {
			Process struct{ Env []string }
		}
	}
	if info == "" {
		return nil, nil
	}
	// NOTE: a decoder over the text would save no copy: it gathers the whole value in a buffer that grows to twice its size, and so takes almost three times as much.
	if err := json.Unmarshal([]byte(info), &known); err != nil {
		return nil, fmt.Errorf("reading what the runtime says of a container: %w", err)
	}
	if known.RuntimeSpec == nil {
		return nil, nil
	}
	env := map[string]string{}
	for _, variable := range known.RuntimeSpec.Process.Env {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	return env, nil
}

// Exec implements Runtime.
func (c *client) Exec(ctx context.Context, id string, command []string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit+callTimeout)
	defer cancel()
	request := &runtimev1.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: seconds(limit)}
	answer, err := c.runtime.ExecSync(ctx, request, grpc.MaxCallRecvMsgSize(maxOutput))
	// The command has ended, and its output came together with its exit code: neither has been read.
	if status.Code(err) == codes.ResourceExhausted {
		return fmt.Errorf("running a command in container %s: whether it succeeded is not known, it wrote more than %d KiB", id, maxOutput>>10)
	}
	if err != nil {
		return translate("running a command in container "+id, err)
	}
	if answer.ExitCode != 0 {
		reason := bytes.TrimSpace(answer.Stderr)
		return fmt.Errorf("running a command in container %s: it ended with code %d: %s", id, answer.ExitCode, reason[:min(len(reason), maxReason)])
	}
	return nil
}

// Stop implements Runtime.
func (c *client) Stop(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+2*callTimeout)
	defer cancel()
	_, err := c.runtime.StopContainer(ctx, &runtimev1.StopContainerRequest{ContainerId: id, Timeout: seconds(grace)})
	if err != nil && status.Code(err) != codes.NotFound {
		return translate("stopping container "+id, err)
	}
	return nil
}

// seconds rounds up: runtimes take whole seconds.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func read(c *runtimev1.Container) Container {
	// Annotations that are missing or broken leave zeros: the container was not made by a kubelet that we know.
	hash, _ := strconv.ParseUint(c.Annotations[hashAnnotation], 16, 64)
	restarts, _ := strconv.ParseInt(c.Annotations[restartCountAnnotation], 10, 32)
	return Container{
		ID: c.Id, Name: c.Labels[containerNameLabel], Created: time.Unix(0, c.CreatedAt),
		Running: c.State == runtimev1.ContainerState_CONTAINER_RUNNING, RestartCount: int32(restarts), SpecHash: hash,
	}
}

// translate gives errors of gRPC our names.
func translate(what string, err error) error {
	switch status.Code(err) {
	case codes.Canceled:
		return fmt.Errorf("%s: %w", what, context.Canceled)
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("%s: %w: %s", what, ErrUnavailable, status.Convert(err).Message())
	default:
		return fmt.Errorf("%s: %s", what, status.Convert(err).Message())
	}
}
