// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/loop/observe"
)

// newTracker makes a tracker, and the metrics of caches that are too late.
func newTracker() (*inflight.Tracker, *prometheus.CounterVec, error) {
	stale, err := registered(prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keelson_cache_stale_total",
		Help: "Times that the cache of a kind did not show a write of the controllers within 30 s; until it did, the owner was read from the API server.",
	}, []string{"kind"}))
	if err != nil {
		return nil, nil, err
	}
	reads, err := registered(prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keelson_live_reads_total",
		Help: "Passes that read from the API server, because a cache was stale, or might lack a write without an answer.",
	}))
	if err != nil {
		return nil, nil, err
	}
	tracker := inflight.New(ageLimit, clock.RealClock{})
	tracker.Stale = func(kind inflight.Kind) { stale.WithLabelValues(kind.String()).Inc() }
	tracker.Read = reads.Inc
	return tracker, stale, nil
}

// registered adds a metric to those that the manager serves. All managers of one program share it.
func registered[T prometheus.Collector](metric T) (T, error) {
	err := metrics.Registry.Register(metric)
	known := prometheus.AlreadyRegisteredError{}
	if errors.As(err, &known) {
		if first, isSame := known.ExistingCollector.(T); isSame {
			return first, nil
		}
	}
	if err != nil {
		return metric, fmt.Errorf("registering a metric: %w", err)
	}
	return metric, nil
}

// Source says from where a pass of an owner reads. While it must not read at all, it returns after how long to ask again.
func (r *Room) Source(ctx context.Context, owner types.UID) (observe.Source, time.Duration) {
	switch r.Inflight.State(owner) {
	case inflight.Behind:
		return observe.FromCache, r.Inflight.AskAgain(owner)
	case inflight.Expired:
		log.FromContext(ctx).Info("reading from the API server: the cache may lack what was written")
		return observe.FromServer, 0
	default:
		return observe.FromCache, 0
	}
}
