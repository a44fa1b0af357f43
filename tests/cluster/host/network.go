// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The bridge between the nodes, and its address, at which they find the API server and the registry.
const (
	bridge        = "keelson0"
	BridgeAddress = "172.30.0.1"
	registryPort  = "5000"
)

// namespace is the network namespace of node n, veth the end of its cable in the root namespace.
func namespace(n int) string { return fmt.Sprintf("keelson-%d", n) }
func veth(n int) string      { return fmt.Sprintf("keelson-v%d", n) }
func address(n int) string   { return fmt.Sprintf("172.30.0.%d", 10+n) }
func podCIDR(n int) string   { return fmt.Sprintf("10.244.%d.0/24", n) }

// netns is the file that names the network namespace of node n.
func netns(n int) string { return filepath.Join("/run/netns", namespace(n)) }

// lay makes the bridge and, for each node, a namespace with a cable to it. Each node routes the others' Pods, and so does this machine.
func lay(ctx context.Context, nodes int) error {
	err := runAll(ctx,
		"ip link add "+bridge+" type bridge",
		"ip addr add "+BridgeAddress+"/24 dev "+bridge,
		"ip link set "+bridge+" up",
		"sysctl -qw net.ipv4.ip_forward=1",
	)
	for n := 1; n <= nodes && err == nil; n++ {
		err = runAll(ctx,
			"ip netns add "+namespace(n),
			"ip link add "+veth(n)+" type veth peer name eth0 netns "+namespace(n),
			"ip link set "+veth(n)+" master "+bridge+" up",
			"ip -n "+namespace(n)+" addr add "+address(n)+"/24 dev eth0",
			"ip -n "+namespace(n)+" link set eth0 up",
			"ip -n "+namespace(n)+" link set lo up",
			"ip -n "+namespace(n)+" route add default via "+BridgeAddress,
			"ip route add "+podCIDR(n)+" via "+address(n),
			"nsenter --net="+netns(n)+" sysctl -qw net.ipv4.ip_forward=1",
		)
		for m := 1; m <= nodes && err == nil; m++ {
			if m != n {
				err = runAll(ctx, "ip -n "+namespace(n)+" route add "+podCIDR(m)+" via "+address(m))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("laying the network: %w", err)
	}
	return allowForwarding(ctx)
}

// allowForwarding lets traffic cross the bridge on machines whose firewall drops what is forwarded.
func allowForwarding(ctx context.Context) error {
	policy, err := run(ctx, "iptables", "-S", "FORWARD")
	if err != nil || !strings.Contains(policy, "-P FORWARD DROP") {
		return nil
	}
	return runAll(ctx, "iptables -I FORWARD -i "+bridge+" -j ACCEPT", "iptables -I FORWARD -o "+bridge+" -j ACCEPT")
}

// unlay takes the network away. Links go by name: a cable whose namespace is gone still blocks the next start.
func unlay(ctx context.Context) error {
	for _, direction := range []string{"-i", "-o"} {
		_, _ = run(ctx, "iptables", "-D", "FORWARD", direction, bridge, "-j", "ACCEPT")
	}
	for _, n := range laidNodes() {
		_, _ = run(ctx, "ip", "link", "delete", veth(n))
		if _, err := run(ctx, "ip", "netns", "delete", namespace(n)); err != nil {
			_, _ = run(ctx, "umount", "-l", netns(n))
			_ = os.Remove(netns(n))
		}
	}
	links, err := run(ctx, "ip", "-o", "link", "show")
	if err != nil {
		return fmt.Errorf("taking the network away: %w", err)
	}
	for _, line := range strings.Split(links, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimSuffix(fields[1], ":"), "@")
		if name == bridge || strings.HasPrefix(name, "keelson-v") {
			if _, err := run(ctx, "ip", "link", "delete", name); err != nil {
				return fmt.Errorf("taking the network away: %w", err)
			}
		}
	}
	return nil
}

// laidNodes are the numbers of the nodes that have a network namespace.
func laidNodes() []int {
	var found []int
	files, _ := filepath.Glob("/run/netns/keelson-*")
	for _, f := range files {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(f), "keelson-%d", &n); err == nil {
			found = append(found, n)
		}
	}
	return found
}
