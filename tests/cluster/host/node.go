// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keelson/keelson/tests/cluster/images"
	"github.com/keelson/keelson/tests/cluster/process"
)

// node is one node: a network namespace, a mount namespace, and in them containerd, kubelet and kube-proxy.
type node struct {
	number int
	// dir holds what belongs to this node alone.
	dir        string
	kubernetes string
	pki        string
}

func (n node) name() string { return fmt.Sprintf("node%d", n.number) }

// zone spreads nodes over a, b and c.
func (n node) zone() string { return string(rune('a' + (n.number-1)%3)) }

// ownPaths are the standard folders that each node has for itself: in its mount namespace they are folders of its own.
func ownPaths() []string {
	return []string{
		"/var/lib/containerd", "/run/containerd", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers",
		"/etc/cni/net.d", "/var/lib/cni", "/run/netns",
	}
}

// prepare writes the node's configuration.
func (n node) prepare() error {
	for _, path := range ownPaths() {
		for _, dir := range []string{path, filepath.Join(n.dir, "root", path)} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("preparing %s: %w", n.name(), err)
			}
		}
	}
	for file, content := range map[string]string{
		filepath.Join("root/etc/cni/net.d/10-keelson.conflist"): n.cniConfig(),
		"containerd.toml":              n.containerdConfig(),
		"registry/_default/hosts.toml": registryConfig(),
		"kubelet.yaml":                 n.kubeletConfig(),
		"resolv.conf":                  "nameserver 127.0.0.1\n",
	} {
		path := filepath.Join(n.dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("preparing %s: %w", n.name(), err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("preparing %s: %w", n.name(), err)
		}
	}
	return makeCgroup(n.cgroup())
}

func (n node) cgroup() string { return filepath.Join(cgroupRoot, n.name()) }

func (n node) cniConfig() string {
	return fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "keelson", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/var/lib/cni", "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`, podCIDR(n.number))
}

func (n node) containerdConfig() string {
	return fmt.Sprintf(`version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/%s"
  # Without the right to raise its priority runc could not start a single container.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %q
`, images.Pause, filepath.Join(n.dir, "registry"))
}

// registryConfig sends every registry host to the local registry.
func registryConfig() string {
	url := "http://" + BridgeAddress + ":" + registryPort
	return fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
}

func (n node) kubeletConfig() string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[1]s/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: %[1]s/%[2]s-serving.crt
tlsPrivateKeyFile: %[1]s/%[2]s-serving.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /%[3]s
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
enforceNodeAllocatable: []
evictionHard: {}
imageGCHighThresholdPercent: 100
clusterDNS: [10.96.0.10]
resolvConf: %[4]s/resolv.conf
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
maxPods: 250
shutdownGracePeriod: 0s
`, n.pki, n.name(), n.cgroup(), n.dir)
}

// Run is the first process of a node, in its network namespace and in a fresh mount namespace: it gives the standard paths to the node, starts
// containerd, kubelet and kube-proxy, and waits for a signal.
func Run(ctx context.Context, number int, state, kubernetes string) error {
	n := node{number: number, dir: filepath.Join(state, fmt.Sprintf("node%d", number)), kubernetes: kubernetes, pki: filepath.Join(state, "pki")}
	if err := n.mount(); err != nil {
		return err
	}
	table := process.Table{Dir: filepath.Join(n.dir, "processes")}
	if err := table.Start(runtime, n.containerd()...); err != nil {
		return err
	}
	err := Wait(ctx, "containerd", func() error {
		_, err := os.Stat("/run/containerd/containerd.sock")
		return err
	})
	if err != nil {
		return err
	}
	if err := table.Start(kubelet, n.kubelet()...); err != nil {
		return err
	}
	err = table.Start("kube-proxy", filepath.Join(kubernetes, "kube-proxy"), "--kubeconfig="+filepath.Join(n.pki, "kube-proxy.kubeconfig"),
		"--hostname-override="+n.name(), "--cluster-cidr="+PodCIDR, "--proxy-mode=iptables", "--conntrack-max-per-core=0",
		"--bind-address="+address(number), "--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249")
	if err != nil {
		return err
	}
	<-ctx.Done()
	for _, name := range []string{kubelet, "kube-proxy", runtime} {
		_ = table.Stop(name, syscall.SIGTERM, 2*time.Second)
	}
	return nil
}

func (n node) containerd() []string {
	return []string{"/usr/bin/containerd", "--config", filepath.Join(n.dir, "containerd.toml")}
}

func (n node) kubelet() []string {
	return []string{
		filepath.Join(n.kubernetes, "kubelet"), "--config=" + filepath.Join(n.dir, "kubelet.yaml"),
		"--kubeconfig=" + filepath.Join(n.pki, n.name()+".kubeconfig"), "--hostname-override=" + n.name(), "--node-ip=" + address(n.number),
		"--node-labels=" + strings.Join([]string{"topology.kubernetes.io/zone=" + n.zone(), "topology.kubernetes.io/region=local"}, ","),
	}
}

// mount gives the node its own folders. What is mounted below them stays in this namespace, and is shared with the Pods.
func (n node) mount() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for _, path := range ownPaths() {
		if err := syscall.Mount(filepath.Join(n.dir, "root", path), path, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", path, err)
		}
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts: %w", err)
	}
	return nil
}
