// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command controllers runs the controllers of Keelson.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsfilters "sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/cloneset"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/loop/register"
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
	logger := f.logger()
	ctrl.SetLogger(logger)
	klog.SetLoggerWithOptions(logger, klog.ContextualLogger(true))
	if err := run(ctrl.SetupSignalHandler(), f); err != nil {
		ctrl.Log.Error(err, "stopping")
		os.Exit(1)
	}
}

// shutdownTimeout is how long the program gives itself to finish what it has begun when it is told to stop. The Pod's grace period is longer.
const shutdownTimeout = 30 * time.Second

// run starts the manager with all kinds, and returns when the context ends.
func run(ctx context.Context, f flags) error {
	mgr, err := newManager(f)
	if err != nil {
		return err
	}
	room, err := register.NewRoom(ctx, mgr)
	if err != nil {
		return err
	}
	room.Namespace = f.namespace
	if err := cloneset.Register(ctx, room, cloneset.Options{Workers: f.cloneSetWorkers, Policy: f.policy}); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding healthz: %w", err)
	}
	if err := mgr.AddReadyzCheck("caches", register.CachesSynced(mgr.GetCache())); err != nil {
		return fmt.Errorf("adding readyz: %w", err)
	}
	for _, sentence := range f.gateNotes {
		ctrl.Log.Info("feature gates", "note", sentence)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the controllers: %w", err)
	}
	return nil
}

func newManager(f flags) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, kruisev1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("preparing the scheme: %w", err)
		}
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	// The API server's priority and fairness limits us, nothing here does.
	config.QPS = -1
	config.UserAgent = "keelson-controllers"
	options := ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cacheOptions(f),
		Client:                        client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		HealthProbeBindAddress:        f.healthAddr,
		PprofBindAddress:              f.profiles(),
		Metrics:                       metricsOptions(f),
		GracefulShutdownTimeout:       ptr.To(shutdownTimeout),
		LeaderElection:                f.leaderElection,
		LeaderElectionNamespace:       f.leaderElectionNamespace,
		LeaderElectionID:              f.leaderElectionID,
		LeaderElectionConfig:          electionConfig(config),
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &f.leaseDuration,
		RenewDeadline:                 &f.renewDeadline,
		RetryPeriod:                   &f.retryPeriod,
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("preparing the controllers: %w", err)
	}
	return mgr, nil
}

// electionConfig is how the lease is renewed: on a connection of its own. Clients of one configuration share one, and a renewal would wait behind all that is
// written and watched on it; whoever cannot renew in time has to stop.
func electionConfig(config *rest.Config) *rest.Config {
	own := rest.CopyConfig(config)
	// The dialer is what makes the transport another one.
	own.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return own
}

func cacheOptions(f flags) cache.Options {
	o := cache.Options{DefaultTransform: observe.Transform}
	if f.namespace != "" {
		// One informer lists this namespace and no other; DefaultNamespaces would hide its index.
		o.DefaultFieldSelector = fields.OneTermEqualSelector("metadata.namespace", f.namespace)
	}
	return o
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
