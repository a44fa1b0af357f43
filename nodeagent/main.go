// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command nodeagent runs on every node and reports what the container runtime runs for the Pods of our workloads.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/keelson/keelson/nodeagent/cri"
	"github.com/keelson/keelson/nodeagent/meta"
)

func main() {
	f, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, errHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(2)
	}
	klog.SetSlogLogger(f.logger(os.Stderr))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) error {
	if err := limitMemory(); err != nil {
		return err
	}
	runtime, version, err := cri.Connect(ctx, f.socketRoot, f.socketFile)
	if err != nil {
		return err
	}
	logger := klog.FromContext(ctx)
	logger.Info("Found the container runtime", "name", version.Name, "version", version.Version)
	for _, sentence := range f.gateNotes {
		logger.Info("Feature gates", "note", sentence)
	}
	config, err := clusterConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent, config.QPS = "kruise-daemon", -1
	clients, err := clientsOf(config, f)
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	reporter, err := meta.New(clients, runtime, version, meta.Options{Node: f.node, FollowsMetadata: f.followsMetadata})
	if err != nil {
		return err
	}
	watch := cri.NewWatch(runtime, version, cri.DefaultWatch())
	ready := []check{watch.Ready}
	group, ctx := errgroup.WithContext(ctx)
	if f.reportsMeta {
		ready = append(ready, reporter.Ready)
		group.Go(func() error { return reporter.Run(ctx) })
	}
	group.Go(func() error { return watch.Run(ctx) })
	group.Go(func() error { return serve(ctx, f.healthAddr, health([]check{watch.Alive}, ready)) })
	if f.metricsAddr != "0" {
		metrics := http.NewServeMux()
		metrics.Handle("/metrics", promhttp.Handler())
		group.Go(func() error { return serve(ctx, f.metricsAddr, metrics) })
	}
	return group.Wait()
}

// clientsOf makes the clients of the agent. It reads as the node, which the API server lets see its own Pods and no others, and writes as itself.
func clientsOf(config *rest.Config, f flags) (meta.Clients, error) {
	reading := rest.CopyConfig(config)
	if f.readsAsNode {
		reading.Impersonate.UserName = "system:node:" + f.node
	}
	read, err := kubernetes.NewForConfig(reading)
	if err != nil {
		return meta.Clients{}, err
	}
	write, err := kubernetes.NewForConfig(config)
	return meta.Clients{Read: read, Write: write}, err
}

// clusterConfig is that of the Pod that this runs in, unless KUBECONFIG names a file.
func clusterConfig() (*rest.Config, error) {
	if path := os.Getenv("KUBECONFIG"); path != "" {
		return clientcmd.BuildConfigFromFlags("", path)
	}
	return rest.InClusterConfig()
}

// limitMemory tells the garbage collector to work harder before the container's memory ends, of which MEMORY_LIMIT says how many bytes it is: a tenth is
// left for what the collector does not see. GOMEMLIMIT wins.
func limitMemory() error {
	text := os.Getenv("MEMORY_LIMIT")
	if text == "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit <= 0 {
		return fmt.Errorf("MEMORY_LIMIT: %q is no number of bytes", text)
	}
	debug.SetMemoryLimit(limit / 10 * 9)
	return nil
}

// serve answers HTTP until the context ends.
func serve(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", address, err)
	}
	return nil
}
