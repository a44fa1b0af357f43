// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/e2e-framework/klient"
	e2e "sigs.k8s.io/e2e-framework/support"
)

// Provider gives e2e-framework the cluster that tests/cluster makes or finds. It keeps the cluster up when a suite ends: the next suite, and
// whoever looks at a failure, wants it.
type Provider struct {
	kubeconfig string
	// mode is what kind of cluster it is: host, kind, sim, bench or existing.
	mode string
}

var _ e2e.E2EClusterProvider = &Provider{}

// WithName does nothing: there is one cluster.
func (p *Provider) WithName(string) e2e.E2EClusterProvider { return p }

// WithVersion does nothing: tests/cluster pins the version.
func (p *Provider) WithVersion(string) e2e.E2EClusterProvider { return p }

// WithPath does nothing: tests/cluster builds its own programs.
func (p *Provider) WithPath(string) e2e.E2EClusterProvider { return p }

// WithOpts applies options.
func (p *Provider) WithOpts(opts ...e2e.ClusterOpts) e2e.E2EClusterProvider {
	for _, o := range opts {
		o(p)
	}
	return p
}

// Create brings the cluster up, or finds it up, and returns the path of its kubeconfig.
func (p *Provider) Create(ctx context.Context, args ...string) (string, error) {
	out, err := runCluster(ctx, append([]string{"up"}, args...)...)
	if err != nil {
		return "", err
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var up struct{ Mode, Kubeconfig string }
	if err := json.Unmarshal(lines[len(lines)-1], &up); err != nil {
		return "", fmt.Errorf("reading what the cluster program said, %q: %w", lines[len(lines)-1], err)
	}
	p.kubeconfig, p.mode = up.Kubeconfig, up.Mode
	return p.kubeconfig, nil
}

// CreateWithConfig is Create: the cluster has no configuration file.
func (p *Provider) CreateWithConfig(ctx context.Context, _ string) (string, error) {
	return p.Create(ctx)
}

// GetKubeconfig is the path of the kubeconfig.
func (p *Provider) GetKubeconfig() string { return p.kubeconfig }

// GenerateKubeconfig is the path of the kubeconfig too: Create wrote it.
func (p *Provider) GenerateKubeconfig(...string) (string, error) { return p.kubeconfig, nil }

// GetKubectlContext is empty: the kubeconfig has one context.
func (p *Provider) GetKubectlContext() string { return "" }

// ExportLogs does nothing: the logs of the cluster are files already.
func (p *Provider) ExportLogs(context.Context, string) error { return nil }

// Destroy takes the cluster down.
func (p *Provider) Destroy(ctx context.Context) error {
	_, err := runCluster(ctx, "down")
	return err
}

// SetDefaults does nothing.
func (p *Provider) SetDefaults() e2e.E2EClusterProvider { return p }

// WaitForControlPlane does nothing: Create returns when all nodes are Ready.
func (p *Provider) WaitForControlPlane(context.Context, klient.Client) error { return nil }

// KubernetesRestConfig is how to reach the cluster; nil before Create.
func (p *Provider) KubernetesRestConfig() *rest.Config {
	cfg, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		return nil
	}
	return cfg
}

// runCluster runs the cluster program and returns what it printed; its progress goes to our standard error.
func runCluster(ctx context.Context, args ...string) ([]byte, error) {
	return run(ctx, "tests/cluster", "go", append([]string{"run", "."}, args...)...)
}

// RestartAPIServer kills the API server without warning and starts it again.
func RestartAPIServer(ctx context.Context) error {
	if err := mustBeDeclared("restarting the API server"); err != nil {
		return err
	}
	_, err := runCluster(ctx, "restart-apiserver")
	return err
}

// StopKubelet kills the kubelet of a node, such as node2, without warning, and StartKubelet starts it again.
func StopKubelet(ctx context.Context, node string) error {
	if err := mustBeDeclared("stopping a kubelet"); err != nil {
		return err
	}
	return onNode(ctx, "stop-kubelet", node)
}

// StartKubelet starts what StopKubelet has stopped; a kubelet that runs is left alone.
func StartKubelet(ctx context.Context, node string) error { return onNode(ctx, "start-kubelet", node) }

// StopRuntime kills the container runtime of a node, such as node2, without warning, and StartRuntime starts it again.
func StopRuntime(ctx context.Context, node string) error {
	if err := mustBeDeclared("stopping a container runtime"); err != nil {
		return err
	}
	return onNode(ctx, "stop-runtime", node)
}

// StartRuntime starts what StopRuntime has stopped; a runtime that runs is left alone.
func StartRuntime(ctx context.Context, node string) error { return onNode(ctx, "start-runtime", node) }

func onNode(ctx context.Context, fault, node string) error {
	_, err := runCluster(ctx, fault, strings.TrimPrefix(node, "node"))
	return err
}

// Kill sends SIGKILL to each container of the cluster that runs a program, such as controllers.
func Kill(ctx context.Context, program string) error {
	if err := mustBeDeclared("killing " + program); err != nil {
		return err
	}
	_, err := runCluster(ctx, "kill", program)
	return err
}

// Deploy builds the images and applies an overlay, as a user does with make deploy.
func Deploy(ctx context.Context, overlay string) error {
	if err := mustBeDeclared("deploying"); err != nil {
		return err
	}
	return deploy(ctx, overlay)
}

func deploy(ctx context.Context, overlay string) error {
	_, err := run(ctx, ".", "make", "--no-print-directory", "deploy", "OVERLAY="+overlay)
	return err
}

// Render is an overlay as it is applied, with images built from this checkout.
func Render(ctx context.Context, overlay string) ([]byte, error) {
	return run(ctx, ".", ".ci/render", overlay)
}

// Kubectl runs kubectl with a manifest on its standard input, and returns what it printed.
func Kubectl(ctx context.Context, manifest []byte, args ...string) (string, error) {
	path, err := run(ctx, ".", ".ci/tool", "kubectl")
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, string(bytes.TrimSpace(path)), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.Getenv(KubeconfigEnv))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(manifest), &out, &out
	err = cmd.Run()
	return out.String(), err
}

func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	root, err := root()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Join(root, dir), &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running %s %v: %w", name, args, err)
	}
	return out.Bytes(), nil
}

// root finds the folder of the checkout: the nearest one upwards with a Makefile.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "Makefile")); err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", fmt.Errorf("finding the checkout: no Makefile above the working directory")
	}
}
