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
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	reporter, err := meta.New(client, runtime, version, meta.Options{Node: f.node, FollowsMetadata: f.followsMetadata})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if f.reportsMeta {
		group.Go(func() error { return reporter.Run(ctx) })
	}
	group.Go(func() error { return serve(ctx, f.healthAddr, health(f, reporter)) })
	if f.metricsAddr != "0" {
		metrics := http.NewServeMux()
		metrics.Handle("/metrics", promhttp.Handler())
		group.Go(func() error { return serve(ctx, f.metricsAddr, metrics) })
	}
	return group.Wait()
}

// clusterConfig is that of the Pod that this runs in, unless KUBECONFIG names a file.
func clusterConfig() (*rest.Config, error) {
	if path := os.Getenv("KUBECONFIG"); path != "" {
		return clientcmd.BuildConfigFromFlags("", path)
	}
	return rest.InClusterConfig()
}

// health answers /livez while the program runs, and /readyz when the Pods of the node are known. /healthz is the published name of the latter.
func health(f flags, reporter *meta.Worker) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	ready := func(w http.ResponseWriter, _ *http.Request) {
		if err := reporter.Ready(); err != nil && f.reportsMeta {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte("ok"))
	}
	mux.HandleFunc("/readyz", ready)
	mux.HandleFunc("/healthz", ready)
	return mux
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
