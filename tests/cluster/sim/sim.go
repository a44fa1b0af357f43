// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sim makes a cluster whose nodes and containers are simulated by kwok: the same control plane, on the loopback address, without any privilege. Our
// programs run as plain processes beside it.
package sim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keelson/keelson/tests/cluster/assets"
	"github.com/keelson/keelson/tests/cluster/host"
	"github.com/keelson/keelson/tests/cluster/process"
)

// State is the folder that holds the cluster.
func State() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "keelson-sim")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "keelson-sim")
}

// Kubeconfig is the path of the administrator's kubeconfig.
func Kubeconfig() string { return filepath.Join(State(), "pki", "admin.kubeconfig") }

func table() process.Table { return process.Table{Dir: filepath.Join(State(), "processes")} }

func control(ctx context.Context) (*host.ControlPlane, error) {
	kube, err := assets.Kubernetes(ctx)
	if err != nil {
		return nil, err
	}
	etcd, err := assets.Etcd(ctx)
	if err != nil {
		return nil, err
	}
	return &host.ControlPlane{
		Dir: State(), Kubernetes: kube, Etcd: etcd, Bind: "127.0.0.1", Advertise: "127.0.0.1", Port: 26443, EtcdPort: 33790,
		APIServer: []string{"--endpoint-reconciler-type=none", "--disable-admission-plugins=TaintNodesByCondition"},
		// Nobody renews the leases of simulated nodes in the way that the lifecycle of nodes expects.
		ControllerManager: []string{"--controllers=*,-node-lifecycle-controller,-ttl-controller"},
		Processes:         table(),
	}, nil
}

// Up makes the cluster, or finds it healthy and does nothing.
func Up(ctx context.Context, nodes int) error {
	fmt.Fprintln(os.Stderr, "containers are SIMULATED: suites that need real ones, which is all of tests/ that talk to a cluster, are skipped here")
	c, err := control(ctx)
	if err != nil {
		return err
	}
	if table().IsRunning("kwok") && c.WaitReady(ctx) == nil {
		return nil
	}
	if err := Down(ctx); err != nil {
		return err
	}
	kwok, err := assets.Kwok(ctx)
	if err != nil {
		return err
	}
	source, err := assets.Source()
	if err != nil {
		return err
	}
	if _, err := c.Start(ctx); err != nil {
		return err
	}
	for n := 1; n <= nodes; n++ {
		if err := addNode(ctx, c, n); err != nil {
			return err
		}
	}
	err = table().Start("kwok", filepath.Join(kwok, "kwok"), "--kubeconfig="+Kubeconfig(), "--manage-all-nodes=true",
		"--config="+filepath.Join(source, "sim", "stages.yaml"), "--node-lease-duration-seconds=40", "--server-address=")
	if err != nil {
		return err
	}
	return host.Wait(ctx, "the simulated nodes to be Ready", func() error {
		out, err := c.Kubectl(ctx, "get", "nodes", "--no-headers")
		if err == nil && strings.Count(out, " Ready ") != nodes {
			err = fmt.Errorf("%d of %d are Ready", strings.Count(out, " Ready "), nodes)
		}
		return err
	})
}

// addNode makes the object of a simulated node, in the zones a, b and c by turns.
func addNode(ctx context.Context, c *host.ControlPlane, n int) error {
	file := filepath.Join(State(), "node.yaml")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"node%[1]d","labels":{
"kubernetes.io/hostname":"node%[1]d","topology.kubernetes.io/zone":%[2]q}}}`, n, string(rune('a'+(n-1)%3)))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("adding node%d: %w", n, err)
	}
	_, err := c.Kubectl(ctx, "create", "-f", file)
	return err
}

// programs run beside the control plane, last first to be stopped.
func programs() []string {
	return []string{"controllers", "webhooks", "kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"}
}

// Down takes the cluster away.
func Down(context.Context) error {
	for _, name := range programs() {
		if err := table().Stop(name, syscall.SIGKILL, 10*time.Second); err != nil {
			return err
		}
	}
	return os.RemoveAll(State())
}

// RestartAPIServer kills the API server without warning and starts it again.
func RestartAPIServer(ctx context.Context) error {
	c, err := control(ctx)
	if err != nil {
		return err
	}
	return c.RestartAPIServer(ctx)
}

// Run starts one of our programs beside the control plane, or starts it anew.
func Run(name string, args []string) error {
	if err := table().Stop(name, syscall.SIGTERM, 10*time.Second); err != nil {
		return err
	}
	return table().Start(name, args...)
}
