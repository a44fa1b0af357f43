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

// Cluster is one simulated cluster of this machine: what is run beside what kubernetes brings, and how.
type Cluster struct {
	name string
	// port and etcdPort, and the one after it, are below those that Linux gives to clients: one of theirs would keep a server from starting.
	port, etcdPort int
	// kwok are files of kwok's configuration, in the folder of this package.
	kwok []string
	// apiServer, manager and scheduler are further flags.
	apiServer, manager, scheduler []string
	// native are the flags of a second controller manager; none is run without.
	native []string
}

// Sim is the cluster to try Keelson on where nothing better can be had.
func Sim() Cluster {
	return Cluster{name: "keelson-sim", port: 26443, etcdPort: 24790, kwok: []string{"stages.yaml"}, manager: controllers("*")}
}

// State is the folder that holds the cluster.
func (c Cluster) State() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, c.name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", c.name)
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c Cluster) Kubeconfig() string { return filepath.Join(c.State(), "pki", "admin.kubeconfig") }

func (c Cluster) table() process.Table {
	return process.Table{Dir: filepath.Join(c.State(), "processes")}
}

// controllers selects controllers of Kubernetes. Nobody renews the leases of simulated nodes in the way that the lifecycle of nodes expects.
func controllers(names string) []string {
	return []string{"--controllers=" + names + ",-node-lifecycle-controller,-ttl-controller"}
}

func (c Cluster) control(ctx context.Context) (*host.ControlPlane, error) {
	kube, err := assets.Kubernetes(ctx)
	if err != nil {
		return nil, err
	}
	etcd, err := assets.Etcd(ctx)
	if err != nil {
		return nil, err
	}
	return &host.ControlPlane{
		Dir: c.State(), Kubernetes: kube, Etcd: etcd, Bind: "127.0.0.1", Advertise: "127.0.0.1", Port: c.port, EtcdPort: c.etcdPort,
		APIServer:         append([]string{"--endpoint-reconciler-type=none", "--disable-admission-plugins=TaintNodesByCondition"}, c.apiServer...),
		ControllerManager: c.manager,
		Scheduler:         c.scheduler,
		Processes:         c.table(),
	}, nil
}

// Up makes the cluster, or finds it healthy and does nothing.
func (c Cluster) Up(ctx context.Context, nodes int) error {
	plane, err := c.control(ctx)
	if err != nil {
		return err
	}
	if c.table().IsRunning("kwok") && plane.WaitReady(ctx) == nil {
		return nil
	}
	if err := c.Down(ctx); err != nil {
		return err
	}
	if err := plane.Start(ctx); err != nil {
		return err
	}
	if err := c.startNative(plane); err != nil {
		return err
	}
	for n := 1; n <= nodes; n++ {
		if err := c.addNode(ctx, plane, n); err != nil {
			return err
		}
	}
	if err := c.startKwok(ctx); err != nil {
		return err
	}
	return host.Wait(ctx, "the simulated nodes to be Ready", func() error {
		out, err := plane.Kubectl(ctx, "get", "nodes", "--no-headers")
		if err == nil && strings.Count(out, " Ready ") != nodes {
			err = fmt.Errorf("%d of %d are Ready", strings.Count(out, " Ready "), nodes)
		}
		return err
	})
}

func (c Cluster) startKwok(ctx context.Context) error {
	kwok, err := assets.Kwok(ctx)
	if err != nil {
		return err
	}
	source, err := assets.Source()
	if err != nil {
		return err
	}
	args := []string{filepath.Join(kwok, "kwok"), "--kubeconfig=" + c.Kubeconfig(), "--manage-all-nodes=true", "--node-lease-duration-seconds=40", "--server-address="}
	for _, file := range c.kwok {
		args = append(args, "--config="+filepath.Join(source, "sim", file))
	}
	return c.table().Start("kwok", args...)
}

// addNode makes the object of a simulated node, in the zones a, b and c by turns.
func (c Cluster) addNode(ctx context.Context, plane *host.ControlPlane, n int) error {
	file := filepath.Join(c.State(), "node.yaml")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"node%[1]d","labels":{
"kubernetes.io/hostname":"node%[1]d","topology.kubernetes.io/zone":%[2]q}}}`, n, string(rune('a'+(n-1)%3)))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("adding node%d: %w", n, err)
	}
	_, err := plane.Kubectl(ctx, "create", "-f", file)
	return err
}

// programs run beside the control plane, last first to be stopped.
func programs() []string {
	return []string{"controllers", "webhooks", "kwok", native, "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"}
}

// Down takes the cluster away.
func (c Cluster) Down(context.Context) error {
	for _, name := range programs() {
		if err := c.table().Stop(name, syscall.SIGKILL, 10*time.Second); err != nil {
			return err
		}
	}
	return os.RemoveAll(c.State())
}

// RestartAPIServer kills the API server without warning and starts it again.
func (c Cluster) RestartAPIServer(ctx context.Context) error {
	plane, err := c.control(ctx)
	if err != nil {
		return err
	}
	return plane.RestartAPIServer(ctx)
}

// Run starts one of our programs beside the control plane, or starts it anew.
func (c Cluster) Run(name string, args []string) error {
	if err := c.table().Stop(name, syscall.SIGTERM, 10*time.Second); err != nil {
		return err
	}
	return c.table().Start(name, args...)
}
