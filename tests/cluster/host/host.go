// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package host makes a real cluster on one Linux machine: a control plane of plain processes, and nodes that each have a network namespace and a mount
// namespace with containerd, kubelet and kube-proxy in them.
//
//	root namespace:  etcd · kube-apiserver · controller-manager · scheduler · registry
//	                 bridge keelson0 172.30.0.1
//	                   │            │            │
//	                 node1 .11    node2 .12    node3 .13      containerd · kubelet · kube-proxy
//	                 10.244.1/24  10.244.2/24  10.244.3/24    Pods
//
// Nothing of it is outside the state folder but the network links, the namespaces and the cgroups, all of them named keelson.
package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keelson/keelson/tests/cluster/assets"
	"github.com/keelson/keelson/tests/cluster/images"
	"github.com/keelson/keelson/tests/cluster/process"
)

// State is the folder that holds the cluster.
const State = "/var/lib/keelson-cluster"

// Registry is the address to push images to.
const Registry = "localhost:" + registryPort

// Kubeconfig is the path of the administrator's kubeconfig.
func Kubeconfig() string { return filepath.Join(State, "pki", "admin.kubeconfig") }

// cluster is the running or wanted cluster.
type cluster struct {
	control ControlPlane
	self    string
	source  string
	nodes   int
}

func newCluster(ctx context.Context, nodes int) (*cluster, error) {
	kube, err := assets.Kubernetes(ctx)
	if err != nil {
		return nil, err
	}
	etcd, err := assets.Etcd(ctx)
	if err != nil {
		return nil, err
	}
	source, err := assets.Source()
	if err != nil {
		return nil, err
	}
	return &cluster{
		control: ControlPlane{
			Dir: State, Kubernetes: kube, Etcd: etcd, Bind: "0.0.0.0", Advertise: BridgeAddress, Port: 6443, EtcdPort: 23790,
			APIServer: []string{"--enable-aggregator-routing=true", "--enable-admission-plugins=NodeRestriction"},
			Processes: table(),
		},
		self: filepath.Join(State, "cluster"), source: source, nodes: nodes,
	}, nil
}

func table() process.Table { return process.Table{Dir: filepath.Join(State, "processes")} }

// Up makes the cluster, or finds it healthy and does nothing. What a crash left behind is taken away first.
func Up(ctx context.Context, nodes int) error {
	if err := installPackages(ctx); err != nil {
		return err
	}
	c, err := newCluster(ctx, nodes)
	if err != nil {
		return err
	}
	if c.isHealthy(ctx) {
		return nil
	}
	if err := Down(ctx); err != nil {
		return err
	}
	return c.start(ctx)
}

func (c *cluster) start(ctx context.Context) error {
	begun := time.Now()
	step := func(what string) { fmt.Fprintf(os.Stderr, "  %5.1f s  %s\n", time.Since(begun).Seconds(), what) }
	if err := c.installSelf(); err != nil {
		return err
	}
	if err := lay(ctx, c.nodes); err != nil {
		return err
	}
	step("network laid")
	if err := table().Start("registry", c.self, "registry", "--dir", filepath.Join(State, "registry"),
		"--address", "127.0.0.1:"+registryPort, "--address", BridgeAddress+":"+registryPort); err != nil {
		return err
	}
	pushed := make(chan error, 1)
	go func() { pushed <- c.pushImages(ctx) }()
	certs, err := c.control.start(ctx)
	if err != nil {
		return err
	}
	step("control plane ready")
	for n := 1; n <= c.nodes; n++ {
		if err := c.startNode(n, certs); err != nil {
			return err
		}
	}
	if err := <-pushed; err != nil {
		return err
	}
	step("workload images pushed")
	if err := Wait(ctx, "the nodes to be Ready", func() error { return c.nodesReady(ctx) }); err != nil {
		return fmt.Errorf("%w; their logs are in %s/node*/processes", err, State)
	}
	step(fmt.Sprintf("%d nodes Ready", c.nodes))
	return nil
}

// installSelf copies the running program into the state folder, where node processes and the registry find it after "go run" has removed its own.
func (c *cluster) installSelf() error {
	if err := os.MkdirAll(State, 0o755); err != nil {
		return fmt.Errorf("preparing the state folder: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	return os.WriteFile(c.self, content, 0o755)
}

func (c *cluster) pushImages(ctx context.Context) error {
	err := Wait(ctx, "the registry", func() error {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+registryPort, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	return images.Push(ctx, c.source, "127.0.0.1:"+registryPort)
}

// PushShops pushes the images by which the demo compares, and lets all nodes forget what they have of them from an earlier run.
func PushShops(ctx context.Context) error {
	source, err := assets.Source()
	if err != nil {
		return err
	}
	for _, number := range laidNodes() {
		n, err := runningNode(number)
		if err != nil {
			return err
		}
		if err := n.forget(ctx, images.Shops()); err != nil {
			return err
		}
	}
	return images.PushShops(ctx, source, "127.0.0.1:"+registryPort)
}

// forget removes the images of repositories from a node, where they are.
func (n node) forget(ctx context.Context, repositories []string) error {
	ctr := []string{"nsenter", fmt.Sprintf("--target=%d", table().PID(n.name())), "--mount", "ctr", "--namespace=k8s.io", "images"}
	list, err := run(ctx, append(ctr, "list", "--quiet")...)
	if err != nil {
		return fmt.Errorf("listing the images of %s: %w", n.name(), err)
	}
	for _, name := range strings.Fields(list) {
		for _, repository := range repositories {
			if !strings.Contains(name, repository) {
				continue
			}
			if _, err := run(ctx, append(ctr, "remove", "--sync", name)...); err != nil {
				return fmt.Errorf("removing an image from %s: %w", n.name(), err)
			}
		}
	}
	return nil
}

func (c *cluster) startNode(number int, certs *pki) error {
	n := node{number: number, dir: filepath.Join(State, fmt.Sprintf("node%d", number)), kubernetes: c.control.Kubernetes, pki: certs.dir}
	err := certs.issueKubeconfig(n.name(), c.control.Server(), subject{user: "system:node:" + n.name(), groups: []string{"system:nodes"}})
	if err != nil {
		return err
	}
	if err := certs.issue(n.name()+"-serving", subject{user: "system:node:" + n.name(), addresses: []string{n.name(), address(number)}}); err != nil {
		return err
	}
	if err := n.prepare(); err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("starting %s: %w", n.name(), err)
	}
	return table().Start(n.name(), nsenter, "--net="+netns(number), "unshare", "--mount",
		c.self, "node", "--number", fmt.Sprint(number), "--state", State, "--kubernetes", c.control.Kubernetes)
}

func (c *cluster) isHealthy(ctx context.Context) bool {
	if !table().IsRunning("kube-apiserver") || !table().IsRunning("registry") {
		return false
	}
	return c.nodesReady(ctx) == nil
}

func (c *cluster) nodesReady(ctx context.Context) error {
	const ready = `{range .items[*]}{range .status.conditions[?(@.type=="Ready")]}{.status}{"\n"}{end}{end}`
	out, err := c.control.Kubectl(ctx, "get", "nodes", "-o", "jsonpath="+ready)
	if err != nil {
		return err
	}
	if got := strings.Count(out, "True"); got != c.nodes || len(strings.Fields(out)) != c.nodes {
		return fmt.Errorf("%d of %d are Ready", got, c.nodes)
	}
	return nil
}

// RestartAPIServer kills the API server without warning and starts it again.
func RestartAPIServer(ctx context.Context) error {
	c, err := newCluster(ctx, 0)
	if err != nil {
		return err
	}
	return c.control.RestartAPIServer(ctx)
}

// Down takes everything away, whatever state it is in.
func Down(ctx context.Context) error {
	for _, n := range laidNodes() {
		nodeTable := process.Table{Dir: filepath.Join(State, fmt.Sprintf("node%d", n), "processes")}
		for _, name := range []string{"kubelet", "kube-proxy", "containerd"} {
			if err := nodeTable.Stop(name, syscall.SIGKILL, 5*time.Second); err != nil {
				return err
			}
		}
		if err := table().Stop(fmt.Sprintf("node%d", n), syscall.SIGKILL, 5*time.Second); err != nil {
			return err
		}
	}
	for _, name := range []string{"kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd", "registry"} {
		if err := table().Stop(name, syscall.SIGKILL, 10*time.Second); err != nil {
			return err
		}
	}
	killInNamespaces()
	if err := removeCgroups(); err != nil {
		return err
	}
	if err := unlay(ctx); err != nil {
		return err
	}
	return removeState()
}

// removeState removes the state folder. A mount namespace goes a moment after its last process.
func removeState() error {
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = os.RemoveAll(State); err == nil {
			return nil
		}
	}
	return fmt.Errorf("removing %s: %w", State, err)
}

// installPackages installs what Debian has, when it is missing.
func installPackages(ctx context.Context) error {
	var missing []string
	for file, name := range map[string]string{
		"/usr/bin/containerd": "containerd", "/usr/sbin/runc": "runc", "/usr/lib/cni/bridge": "containernetworking-plugins",
		"/usr/sbin/iptables": "iptables", "/usr/sbin/conntrack": "conntrack", "/sbin/ip": "iproute2", "/usr/bin/nsenter": "util-linux", "/sbin/sysctl": "procps",
		"/bin/mount": "mount",
	} {
		if _, err := os.Stat(file); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "installing from Debian: %s\n", strings.Join(missing, " "))
	if err := runAll(ctx, "apt-get update -q"); err != nil {
		return err
	}
	_, err := run(ctx, append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy", "--no-install-recommends"}, missing...)...)
	return err
}
