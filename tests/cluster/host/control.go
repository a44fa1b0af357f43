// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/keelson/keelson/tests/cluster/process"
)

// ControlPlane is etcd, the API server, the controller manager and the scheduler, as plain processes on this machine.
type ControlPlane struct {
	// Dir holds certificates, data, logs and records.
	Dir string
	// Kubernetes and Etcd are the folders of the programs.
	Kubernetes, Etcd string
	// Bind is the address that the API server listens on, and Advertise the one that others reach it at.
	Bind, Advertise string
	// Ports of the API server and of etcd, which takes two.
	Port, EtcdPort int
	// APIServer, ControllerManager and Scheduler are further flags.
	APIServer, ControllerManager, Scheduler []string
	Processes                               process.Table
}

// The networks of Services and Pods.
const (
	ServiceCIDR = "10.96.0.0/16"
	PodCIDR     = "10.244.0.0/16"
)

// Server is the URL of the API server.
func (c *ControlPlane) Server() string { return fmt.Sprintf("https://%s:%d", c.Advertise, c.Port) }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *ControlPlane) Kubeconfig() string { return filepath.Join(c.Dir, "pki", "admin.kubeconfig") }

// Start makes certificates and starts everything; it returns when the API server is ready.
func (c *ControlPlane) Start(ctx context.Context) error {
	_, err := c.start(ctx)
	return err
}

func (c *ControlPlane) start(ctx context.Context) (*pki, error) {
	certs, err := c.certificates()
	if err != nil {
		return nil, err
	}
	if err := c.startEtcd(); err != nil {
		return nil, err
	}
	if err := c.startAPIServer(certs); err != nil {
		return nil, err
	}
	if err := c.WaitReady(ctx); err != nil {
		return nil, err
	}
	return certs, c.startManagers(certs)
}

func (c *ControlPlane) certificates() (*pki, error) {
	certs, err := newPKI(filepath.Join(c.Dir, "pki"))
	if err != nil {
		return nil, err
	}
	for name, s := range map[string]subject{
		"apiserver": {user: "kube-apiserver", addresses: []string{
			c.Advertise, "127.0.0.1", "10.96.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		}},
		"kubelet-client":  {user: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}},
		"service-account": {user: "service-account"},
	} {
		if err := certs.issue(name, s); err != nil {
			return nil, err
		}
	}
	for name, s := range map[string]subject{
		"admin":                   {user: "keelson-admin", groups: []string{"system:masters"}},
		"kube-controller-manager": {user: "system:kube-controller-manager"},
		"kube-scheduler":          {user: "system:kube-scheduler"},
		"kube-proxy":              {user: "system:kube-proxy"},
	} {
		if err := certs.issueKubeconfig(name, c.Server(), s); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

func (c *ControlPlane) startEtcd() error {
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", c.EtcdPort), fmt.Sprintf("http://127.0.0.1:%d", c.EtcdPort+1)
	return c.Processes.Start("etcd", filepath.Join(c.Etcd, "etcd"), "--data-dir="+filepath.Join(c.Dir, "etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer, "--unsafe-no-fsync", "--log-level=warn")
}

func (c *ControlPlane) startAPIServer(certs *pki) error {
	args := []string{
		filepath.Join(c.Kubernetes, "kube-apiserver"),
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", c.EtcdPort),
		"--bind-address=" + c.Bind, fmt.Sprintf("--secure-port=%d", c.Port), "--advertise-address=" + c.Advertise,
		"--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false",
		"--client-ca-file=" + certs.crt("ca"), "--tls-cert-file=" + certs.crt("apiserver"), "--tls-private-key-file=" + certs.keyFile("apiserver"),
		"--kubelet-client-certificate=" + certs.crt("kubelet-client"), "--kubelet-client-key=" + certs.keyFile("kubelet-client"),
		"--kubelet-certificate-authority=" + certs.crt("ca"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=" + ServiceCIDR,
		"--service-account-key-file=" + certs.crt("service-account"), "--service-account-signing-key-file=" + certs.keyFile("service-account"),
	}
	return c.Processes.Start("kube-apiserver", append(args, c.APIServer...)...)
}

// Manager is how a program of the control plane is started that talks to the API server as itself.
func (c *ControlPlane) Manager(name string) []string {
	file := filepath.Join(c.Dir, "pki", name+".kubeconfig")
	return []string{filepath.Join(c.Kubernetes, name), "--kubeconfig=" + file, "--authentication-kubeconfig=" + file,
		"--authorization-kubeconfig=" + file, "--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false"}
}

func (c *ControlPlane) startManagers(certs *pki) error {
	manager := append(c.Manager("kube-controller-manager"), "--use-service-account-credentials=true", "--root-ca-file="+certs.crt("ca"),
		"--service-account-private-key-file="+certs.keyFile("service-account"), fmt.Sprintf("--secure-port=%d", c.Port+1))
	if err := c.Processes.Keep("kube-controller-manager", append(manager, c.ControllerManager...)...); err != nil {
		return err
	}
	scheduler := append(c.Manager("kube-scheduler"), fmt.Sprintf("--secure-port=%d", c.Port+2))
	return c.Processes.Keep("kube-scheduler", append(scheduler, c.Scheduler...)...)
}

// startupPatience bounds how long a start may take.
const startupPatience = 2 * time.Minute

// WaitReady waits until the API server says that it is ready.
func (c *ControlPlane) WaitReady(ctx context.Context) error {
	return Wait(ctx, "the API server to be ready", func() error {
		if !c.Processes.IsRunning("kube-apiserver") {
			return fatal{fmt.Errorf("it ended; see %s", c.Processes.Log("kube-apiserver"))}
		}
		_, err := c.Kubectl(ctx, "get", "--raw=/readyz")
		return err
	})
}

// RestartAPIServer kills the API server without warning, starts it again, and waits until it is ready. A port that is not free at once is tried again.
func (c *ControlPlane) RestartAPIServer(ctx context.Context) error {
	var err error
	for range 5 {
		if err = c.Processes.Restart("kube-apiserver", syscall.SIGKILL); err != nil {
			return err
		}
		if err = c.WaitReady(ctx); err == nil {
			return nil
		}
	}
	return err
}
