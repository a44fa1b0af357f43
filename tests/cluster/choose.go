// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/keelson/keelson/tests/cluster/host"
)

// mode is a kind of cluster.
type mode string

const (
	existing mode = "existing"
	onHost   mode = "host"
	inKind   mode = "kind"
	inSim    mode = "sim"
	inBench  mode = "bench"
)

// machine is what the choice of a mode depends on.
type machine struct {
	wanted      string
	kubeconfig  string
	isRootLinux bool
	hasDocker   bool
}

// thisMachine looks at the environment.
func thisMachine() machine {
	return machine{
		wanted:      os.Getenv("CLUSTER"),
		kubeconfig:  os.Getenv("KEELSON_KUBECONFIG"),
		isRootLinux: runtime.GOOS == "linux" && os.Geteuid() == 0 && hasCapabilities(),
		hasDocker:   exec.Command("docker", "info").Run() == nil,
	}
}

// choose says which mode to use, and why. Without a wish it is the first that works of existing, host, kind and sim.
func (m machine) choose() (mode, string, error) {
	switch wish := mode(m.wanted); wish {
	case "":
	case existing:
		if m.kubeconfig == "" {
			return "", "", fmt.Errorf("CLUSTER=existing: KEELSON_KUBECONFIG must name the kubeconfig of the cluster")
		}
		return wish, "CLUSTER asks for it", nil
	case onHost, inKind, inSim, inBench:
		return wish, "CLUSTER asks for it", nil
	default:
		return "", "", fmt.Errorf("CLUSTER=%s: it must be host, kind, sim, existing or bench", m.wanted)
	}
	switch {
	case m.kubeconfig != "" && m.kubeconfig == host.Kubeconfig():
		return onHost, "KEELSON_KUBECONFIG names the cluster of this machine", nil
	case m.kubeconfig != "":
		return existing, "KEELSON_KUBECONFIG names it", nil
	case m.isRootLinux:
		return onHost, "this is Linux and we are root", nil
	case m.hasDocker:
		return inKind, "Docker answers", nil
	default:
		return inSim, "we are not root, and Docker does not answer: containers are simulated", nil
	}
}

// hasCapabilities says that we may make namespaces, mounts and network links.
func hasCapabilities() bool {
	const sysAdmin, netAdmin = 21, 12
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if value, found := strings.CutPrefix(line, "CapEff:"); found {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && set&(1<<sysAdmin) != 0 && set&(1<<netAdmin) != 0
		}
	}
	return false
}
