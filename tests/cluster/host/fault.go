// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keelson/keelson/tests/cluster/assets"
	"github.com/keelson/keelson/tests/cluster/process"
)

// StopKubelet kills the kubelet of a node without warning. Its containers run on, and nobody reports of them.
func StopKubelet(_ context.Context, number int) error {
	n, err := runningNode(number)
	if err != nil {
		return err
	}
	return n.table().Stop("kubelet", syscall.SIGKILL, 5*time.Second)
}

// StartKubelet starts the kubelet of a node again, in the namespaces of the node. One that runs is left alone.
func StartKubelet(ctx context.Context, number int) error {
	n, err := runningNode(number)
	if err != nil || n.table().IsRunning("kubelet") {
		return err
	}
	return n.enter(ctx, "--kubelet-only")
}

// RestartContainerd kills the containerd of a node without warning and starts it again. The containers run on.
func RestartContainerd(ctx context.Context, number int) error {
	n, err := runningNode(number)
	if err != nil {
		return err
	}
	return n.enter(ctx, "--containerd-only")
}

// RerunContainerd starts the containerd of the node anew in whose namespaces it is called.
func RerunContainerd(number int, state string) error {
	n := node{number: number, dir: filepath.Join(state, fmt.Sprintf("node%d", number))}
	return n.table().Restart("containerd", syscall.SIGKILL)
}

// enter runs this program in the namespaces of the node.
func (n node) enter(ctx context.Context, part string) error {
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("entering %s: %w", n.name(), err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("entering %s: %w", n.name(), err)
	}
	kubernetes, err := assets.Kubernetes(ctx)
	if err != nil {
		return err
	}
	_, err = run(ctx, nsenter, fmt.Sprintf("--target=%d", table().PID(n.name())), "--mount", "--net",
		self, "node", part, "--number", fmt.Sprint(n.number), "--state", State, "--kubernetes", kubernetes)
	return err
}

// RunKubelet starts the kubelet of the node in whose namespaces it is called.
func RunKubelet(number int, state, kubernetes string) error {
	n := node{number: number, dir: filepath.Join(state, fmt.Sprintf("node%d", number)), kubernetes: kubernetes, pki: filepath.Join(state, "pki")}
	return n.table().Start("kubelet", n.kubelet()...)
}

func (n node) table() process.Table { return process.Table{Dir: filepath.Join(n.dir, "processes")} }

func runningNode(number int) (node, error) {
	n := node{number: number, dir: filepath.Join(State, fmt.Sprintf("node%d", number))}
	if !table().IsRunning(n.name()) {
		return n, fmt.Errorf("finding %s: no such node runs here", n.name())
	}
	return n, nil
}

// Kill sends SIGKILL to each container of the nodes whose program has a name, as when memory runs out, and says how many there were.
func Kill(program string) int {
	killed := map[string]bool{}
	for _, dir := range cgroups() {
		procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, pid := range strings.Fields(string(procs)) {
			args, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
			name, _, _ := strings.Cut(string(args), "\x00")
			if filepath.Base(name) == program && !killed[pid] {
				killed[pid] = true
				kill(pid)
			}
		}
	}
	return len(killed)
}
