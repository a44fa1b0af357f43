// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package registry serves images over plain HTTP, on the loopback address for those who push and on the bridge for the nodes that pull. It keeps
// layers on disk and manifests in memory: it lives as long as the cluster.
package registry

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Serve serves on all addresses until the context ends.
func Serve(ctx context.Context, dir string, addresses []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("serving images: %w", err)
	}
	server := &http.Server{
		Handler:           registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(log.Default())),
		ReadHeaderTimeout: 10 * time.Second,
	}
	failed := make(chan error, len(addresses))
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("serving images: %w", err)
		}
		go func() { failed <- server.Serve(listener) }()
	}
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-failed:
		return fmt.Errorf("serving images: %w", err)
	}
}
