// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command webhooks serves the conversion of our kinds between their versions, and refuses what their schemas cannot refuse.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsfilters "sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/keelson/keelson/webhooks/cloneset"
	"github.com/keelson/keelson/webhooks/convert"
	"github.com/keelson/keelson/webhooks/serving"
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
	logger := f.logger(os.Stderr)
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	if err := run(linger(ctrl.SetupSignalHandler()), f); err != nil {
		ctrl.Log.Error(err, "Stopping")
		os.Exit(1)
	}
}

// lingerFor is how long requests are still answered after the signal to stop: until then the API server may send some.
const lingerFor = 5 * time.Second

// linger ends a while after ctx ends.
func linger(ctx context.Context) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(lingerFor, cancel) })
	return later
}

// shutdownTimeout is how long the program gives itself after that to finish what it has begun. The Pod's grace period is longer than both.
const shutdownTimeout = 30 * time.Second

// templatesAtOnce is how many templates the cluster is asked about at one time. An answer takes milliseconds, and what has waited too long is taken with a warning.
const templatesAtOnce = 16

func run(ctx context.Context, f flags) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent = "keelson-webhooks"
	// The API server's priority and fairness limits us, nothing here does. Its warnings go to the user who wrote the template.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	keeper, err := serving.NewKeeper(config, serving.Options{
		Namespace: f.namespace, Secret: f.secret, DNSName: serving.Host(f.service, f.namespace),
		Targets: []serving.Target{
			serving.ValidatingWebhooks(),
			serving.Conversion("clonesets.apps.kruise.io"),
		},
	})
	if err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{
		Port: f.port, TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.GetCertificate = keeper.GetCertificate }},
	})
	server.Register(cloneset.Path, &webhook.Admission{Handler: &cloneset.Validator{
		Client: client, InPlace: f.inPlace, Asking: semaphore.NewWeighted(templatesAtOnce),
	}})
	server.Register("/convert", convert.Handler())
	server.Register("/healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: runtime.NewScheme(), WebhookServer: server, HealthProbeBindAddress: f.healthAddr,
		Metrics: metricsOptions(f), GracefulShutdownTimeout: ptr.To(shutdownTimeout),
	})
	if err != nil {
		return fmt.Errorf("preparing the webhooks: %w", err)
	}
	if err := errors.Join(
		mgr.Add(keeper), mgr.Add(server), mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("certificate", keeper.Ready),
	); err != nil {
		return fmt.Errorf("preparing the webhooks: %w", err)
	}
	for _, sentence := range f.gateNotes {
		ctrl.Log.Info("feature gates", "note", sentence)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("serving the webhooks: %w", err)
	}
	return nil
}

// metricsOptions serves metrics to anybody on the loopback address, and elsewhere only to those that the API server authorizes.
func metricsOptions(f flags) metricsserver.Options {
	o := metricsserver.Options{BindAddress: f.metricsAddr}
	if !f.isMetricsLocal() {
		o.SecureServing = true
		o.FilterProvider = metricsfilters.WithAuthenticationAndAuthorization
	}
	return o
}
