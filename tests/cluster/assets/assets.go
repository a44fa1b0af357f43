// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package assets builds what the cluster runs into a cache outside the checkout, keyed by version: Kubernetes and etcd from their Go modules.
package assets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Cache is where built programs are kept.
func Cache() (string, error) {
	if dir := os.Getenv("KEELSON_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache, which KEELSON_CACHE may name: %w", err)
	}
	return filepath.Join(dir, "keelson"), nil
}

// Source is the folder of this module; the program is run from it.
func Source() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module of the cluster: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Kubernetes are the programs of the multi-call binary.
func kubernetesPrograms() []string {
	return []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}
}

// Kubernetes builds Kubernetes when it is not there yet, and returns the folder of its programs.
func Kubernetes(ctx context.Context) (string, error) {
	b, err := newBuild(ctx, "kube", "k8s.io/kubernetes", ".", "./kube")
	if err != nil {
		return "", err
	}
	parts := strings.SplitN(strings.TrimPrefix(b.version, "v"), ".", 3)
	const stamp = "-X k8s.io/component-base/version."
	b.ldflags = fmt.Sprintf("%sgitVersion=%s %sgitMajor=%s %sgitMinor=%s", stamp, b.version, stamp, parts[0], stamp, parts[1])
	dir, err := b.run(ctx)
	if err != nil {
		return "", err
	}
	for _, program := range kubernetesPrograms() {
		if err := link("kube", filepath.Join(dir, program)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Etcd builds etcd when it is not there yet, and returns the folder of its program.
func Etcd(ctx context.Context) (string, error) {
	return built(ctx, "etcd", "go.etcd.io/etcd/server/v3")
}

// Kwok builds kwok when it is not there yet, and returns the folder of its program.
func Kwok(ctx context.Context) (string, error) { return built(ctx, "kwok", "sigs.k8s.io/kwok") }

// built builds the program of a module that is pinned in a folder of its own, because it does not get along with Kubernetes' own pins.
func built(ctx context.Context, name, module string) (string, error) {
	pkg := module
	if name == "kwok" {
		pkg += "/cmd/kwok"
	}
	b, err := newBuild(ctx, name, module, name, pkg)
	if err != nil {
		return "", err
	}
	return b.run(ctx)
}

// Envtest links the programs that envtest wants into one folder, and returns it.
func Envtest(ctx context.Context) (string, error) {
	kube, err := Kubernetes(ctx)
	if err != nil {
		return "", err
	}
	etcd, err := Etcd(ctx)
	if err != nil {
		return "", err
	}
	dir := strings.Replace(kube, string(filepath.Separator)+"kube-", string(filepath.Separator)+"envtest-", 1)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("preparing envtest: %w", err)
	}
	for name, target := range map[string]string{
		"kube-apiserver": filepath.Join(kube, "kube-apiserver"), "kubectl": filepath.Join(kube, "kubectl"), "etcd": filepath.Join(etcd, "etcd"),
	} {
		if err := link(target, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// build is one program to build: a package, from the module in a folder.
type build struct {
	name, version, source, pkg, ldflags, dir string
}

func newBuild(ctx context.Context, name, module, folder, pkg string) (build, error) {
	b := build{name: name, pkg: pkg}
	cache, err := Cache()
	if err != nil {
		return b, err
	}
	source, err := Source()
	if err != nil {
		return b, err
	}
	b.source = filepath.Join(source, folder)
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", module)
	cmd.Dir, cmd.Stderr = b.source, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return b, fmt.Errorf("finding the version of %s: %w", module, err)
	}
	b.version = strings.TrimSpace(string(out))
	b.dir = filepath.Join(cache, name+"-"+b.version)
	return b, nil
}

// run builds the program beside its place and moves it there, so that a build that is cut short leaves nothing behind.
func (b build) run(ctx context.Context) (string, error) {
	target := filepath.Join(b.dir, b.name)
	if _, err := os.Stat(target); err == nil {
		return b.dir, nil
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return "", fmt.Errorf("building %s: %w", b.name, err)
	}
	fmt.Fprintf(os.Stderr, "building %s %s, once (Kubernetes takes about 8 minutes on two cores)\n", b.name, b.version)
	temporary := fmt.Sprintf("%s.%d", target, os.Getpid())
	defer os.Remove(temporary)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w "+b.ldflags, "-o", temporary, b.pkg)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.source, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	done := progress(b.name)
	err := cmd.Run()
	done()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", b.name, err)
	}
	return b.dir, os.Rename(temporary, target)
}

// progress prints a line every ten seconds until it is ended.
func progress(name string) func() {
	stop := make(chan struct{})
	begun := time.Now()
	go func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				fmt.Fprintf(os.Stderr, "  building %s: %s\n", name, time.Since(begun).Round(time.Second))
			}
		}
	}()
	return func() { close(stop) }
}

// link makes a symbolic link that names a target, whatever was there.
func link(target, name string) error {
	if now, err := os.Readlink(name); err == nil && now == target {
		return nil
	}
	temporary := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.Symlink(target, temporary); err != nil {
		return fmt.Errorf("linking %s: %w", name, err)
	}
	return os.Rename(temporary, name)
}
