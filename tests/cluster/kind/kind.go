// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kind makes a cluster with kind, where Docker answers. NOTE: nothing of it has run on a machine without Docker, which is where the gate runs.
package kind

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/keelson/keelson/tests/cluster/assets"
	"github.com/keelson/keelson/tests/cluster/host"
	"github.com/keelson/keelson/tests/cluster/images"
)

const name = "keelson"

// Kubeconfig is the path of the kubeconfig.
func Kubeconfig() string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "keelson-kind", "kubeconfig")
}

// Up makes the cluster, and a registry beside it that the nodes take for every registry.
func Up(ctx context.Context, _ int) error {
	source, err := assets.Source()
	if err != nil {
		return err
	}
	if clusters, err := output(ctx, "kind", "get", "clusters"); err == nil && strings.Contains(clusters, name) {
		return nil
	}
	if err := run(ctx, "docker", "run", "--detach", "--restart=always", "--name=keelson-registry", "--publish=127.0.0.1:5000:5000", "registry:2"); err != nil {
		return err
	}
	if err := run(ctx, "kind", "create", "cluster", "--config", filepath.Join(source, "kind", "config.yaml"), "--kubeconfig", Kubeconfig()); err != nil {
		return err
	}
	if err := run(ctx, "docker", "network", "connect", "kind", "keelson-registry"); err != nil {
		return err
	}
	nodes, err := output(ctx, "kind", "get", "nodes", "--name", name)
	if err != nil {
		return err
	}
	for _, node := range strings.Fields(nodes) {
		const hosts = `mkdir -p /etc/containerd/certs.d/_default && printf 'server = "http://keelson-registry:5000"\n[host."http://keelson-registry:5000"]\n  capabilities = ["pull", "resolve"]\n' > /etc/containerd/certs.d/_default/hosts.toml`
		if err := run(ctx, "docker", "exec", node, "sh", "-c", hosts); err != nil {
			return err
		}
	}
	return images.Push(ctx, source, host.Registry)
}

// Down takes cluster and registry away.
func Down(ctx context.Context) error {
	if err := run(ctx, "kind", "delete", "cluster", "--name", name); err != nil {
		return err
	}
	return run(ctx, "docker", "rm", "--force", "keelson-registry")
}

func run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func output(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
