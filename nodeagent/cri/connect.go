// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sockets are where runtimes listen, below the folder that holds them. The first that answers is used.
func sockets() []string {
	return []string{
		"containerd.sock", "containerd/containerd.sock", "crio.sock", "crio/crio.sock", "cri-dockerd.sock", "cri-dockerd/cri-dockerd.sock",
	}
}

// runtimes are the names by which the runtimes that we know call themselves.
func runtimes() []string { return []string{"containerd", "cri-o", "docker"} }

// Connect finds the runtime: behind the socket that is named, below root unless it is a full path, or else behind the first of the usual ones that
// answers. The error names the flag and every path that was tried.
func Connect(ctx context.Context, root, socket string) (Runtime, Version, error) {
	if socket != "" {
		if !filepath.IsAbs(socket) {
			socket = filepath.Join(root, socket)
		}
		runtime, version, err := try(ctx, socket)
		if err != nil {
			return nil, Version{}, fmt.Errorf("--socket-file=%s: %w", socket, err)
		}
		return runtime, version, nil
	}
	var tried []string
	for _, s := range sockets() {
		path := filepath.Join(root, s)
		runtime, version, err := try(ctx, path)
		if err == nil {
			return runtime, version, nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v", path, err))
	}
	return nil, Version{}, fmt.Errorf("no container runtime answers, --socket-file must name its socket; tried %s", strings.Join(tried, "; "))
}

func try(ctx context.Context, socket string) (Runtime, Version, error) {
	var missing *fs.PathError
	if _, err := os.Stat(socket); errors.As(err, &missing) {
		return nil, Version{}, missing.Err
	}
	c, err := open(socket)
	if err != nil {
		return nil, Version{}, err
	}
	version, err := c.Version(ctx)
	if err == nil && !slices.Contains(runtimes(), version.Name) {
		err = fmt.Errorf("the container runtime %q is not known; it must be one of %s", version.Name, strings.Join(runtimes(), ", "))
	}
	if err != nil {
		_ = c.connection.Close()
		return nil, Version{}, err
	}
	return c, version, nil
}
