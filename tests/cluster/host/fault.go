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

// The programs of a node that can be stopped and started again.
const (
	kubelet = "kubelet"
	runtime = "containerd"
)

// StopKubelet kills the kubelet of a node without warning. Its containers run on, and nobody reports of them.
func StopKubelet(_ context.Context, number int) error { return stop(number, kubelet) }

// StartKubelet starts the kubelet of a node again, in the namespaces of the node. One that runs is left alone. As systemd does, it starts one anew that gives up, because the
// runtime is away just then.
func StartKubelet(ctx context.Context, number int) error { return startAgain(ctx, number, kubelet) }

// StopRuntime kills the container runtime of a node without warning. Its containers run on, and nobody can reach them.
func StopRuntime(_ context.Context, number int) error { return stop(number, runtime) }

// StartRuntime starts the container runtime of a node again, in the namespaces of the node. One that runs is left alone.
func StartRuntime(ctx context.Context, number int) error { return startAgain(ctx, number, runtime) }

func stop(number int, program string) error {
	n, err := runningNode(number)
	if err != nil {
		return err
	}
	return n.table().Stop(program, syscall.SIGKILL, 5*time.Second)
}

func startAgain(ctx context.Context, number int, program string) error {
	n, err := runningNode(number)
	if err != nil || n.table().IsRunning(program) {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("starting %s of %s: %w", program, n.name(), err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting %s of %s: %w", program, n.name(), err)
	}
	kubernetes, err := assets.Kubernetes(ctx)
	if err != nil {
		return err
	}
	_, err = run(ctx, nsenter, fmt.Sprintf("--target=%d", table().PID(n.name())), "--mount", "--net",
		self, "node", "--only", program, "--number", fmt.Sprint(number), "--state", State, "--kubernetes", kubernetes)
	return err
}

// A kubelet that stays for so long has found its runtime; one that gives up is started so often.
const (
	kubeletStays  = 3 * time.Second
	kubeletStarts = 20
)

// RunOnly starts one program of the node in whose namespaces it is called.
func RunOnly(program string, number int, state, kubernetes string) error {
	n := node{number: number, dir: filepath.Join(state, fmt.Sprintf("node%d", number)), kubernetes: kubernetes, pki: filepath.Join(state, "pki")}
	switch program {
	case kubelet:
		return n.startUntilItStays(kubelet, n.kubelet())
	case runtime:
		return n.table().Start(runtime, n.containerd()...)
	default:
		return fmt.Errorf("starting %s of %s: it must be %s or %s", program, n.name(), kubelet, runtime)
	}
}

func (n node) startUntilItStays(program string, args []string) error {
	for range kubeletStarts {
		if err := n.table().Start(program, args...); err != nil {
			return err
		}
		end := time.Now().Add(kubeletStays)
		for n.table().IsRunning(program) {
			if time.Now().After(end) {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return fmt.Errorf("starting %s of %s: it gave up %d times, see %s", program, n.name(), kubeletStarts, n.table().Log(program))
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
