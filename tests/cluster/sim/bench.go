// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/keelson/keelson/tests/cluster/assets"
	"github.com/keelson/keelson/tests/cluster/host"
)

// native is the name of the controller manager that does nothing but Deployments and ReplicaSets.
const native = "native"

// unlimited are the flags of a Kubernetes program whose requests only the API server limits.
func unlimited() []string { return []string{"--kube-api-qps=100000", "--kube-api-burst=100000"} }

// Bench is the cluster that speed is measured on. It writes an audit log of what service accounts ask, nobody is limited on the client's side, and Kubernetes'
// own controllers of Deployments and ReplicaSets run in a process of their own, so that their cost can be told from that of the others.
func Bench() (Cluster, error) {
	c := Cluster{name: "keelson-bench", port: 27443, etcdPort: 25790, kwok: []string{"stages.yaml"}}
	source, err := assets.Source()
	if err != nil {
		return c, err
	}
	c.apiServer = []string{
		"--audit-policy-file=" + filepath.Join(source, "sim", "audit.yaml"), "--audit-log-path=" + c.AuditLog(), "--audit-log-maxsize=100000",
	}
	c.manager = append(controllers("*,-deployment-controller,-replicaset-controller"), unlimited()...)
	c.scheduler = unlimited()
	c.native = append(unlimited(), "--controllers=deployment-controller,replicaset-controller")
	return c, nil
}

// AuditLog is the file with one JSON object for each request of a service account; only the cluster for benches writes it.
func (c Cluster) AuditLog() string { return filepath.Join(c.State(), "audit.log") }

// startNative starts the second controller manager, where the cluster has one.
func (c Cluster) startNative(plane *host.ControlPlane) error {
	if c.native == nil {
		return nil
	}
	args := plane.Manager("kube-controller-manager")
	args = append(args, fmt.Sprintf("--secure-port=%d", c.port+3), "--use-service-account-credentials=true")
	return c.table().Start(native, append(args, c.native...)...)
}

// Processes are the numbers of the running programs by name.
func (c Cluster) Processes() map[string]int {
	running := map[string]int{}
	for _, name := range programs() {
		if pid := c.table().PID(name); pid != 0 {
			running[name] = pid
		}
	}
	return running
}

// Rerun ends one of our programs as the kubelet does, and starts it again as it was.
func (c Cluster) Rerun(name string) error { return c.table().Restart(name, syscall.SIGTERM) }
