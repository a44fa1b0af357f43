// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// callTimeout bounds one call of the runtime.
const callTimeout = 5 * time.Second

// maxMessage is how large an answer may be: a node with hundreds of containers has large ones.
const maxMessage = 16 << 20

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
}

var _ Runtime = &client{}

// open reaches the runtime behind a socket. The connection is made when it is first needed, and again after the runtime restarted.
func open(socket string) (*client, error) {
	connection, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", socket, err)
	}
	return &client{connection: connection, runtime: runtimev1.NewRuntimeServiceClient(connection)}, nil
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
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
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
