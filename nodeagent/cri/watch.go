// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// Watch tells whether a runtime answers. The connection to one that does not is made anew without help, first after a quarter of a second, then at
// intervals that grow to five seconds.
type Watch struct {
	runtime Runtime
	name    string
	o       WatchOptions

	mutex sync.Mutex
	// lost is when the runtime was first found not to answer, zero while it does; why is what was heard last.
	lost time.Time
	why  error
}

// WatchOptions are the settings of a Watch.
type WatchOptions struct {
	// Every is the time between two questions.
	Every time.Duration
	// Patience is how long a runtime may be lost before Alive says so.
	Patience time.Duration
}

// DefaultWatch asks every two seconds. Five minutes are longer than runtimes take to restart, and to be upgraded.
func DefaultWatch() WatchOptions {
	return WatchOptions{Every: 2 * time.Second, Patience: 5 * time.Minute}
}

// NewWatch watches a runtime that has answered with a version.
func NewWatch(runtime Runtime, version Version, o WatchOptions) *Watch {
	return &Watch{runtime: runtime, name: version.Name, o: o}
}

// Run asks until the context ends. It is an error when another runtime answers: what is known of containers is the other's.
func (w *Watch) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.o.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		version, err := w.runtime.Version(ctx)
		if err == nil && version.Name != w.name {
			return fmt.Errorf("the container runtime was %q and is now %q", w.name, version.Name)
		}
		if ctx.Err() == nil {
			w.note(ctx, err)
		}
	}
}

// note keeps what was heard, and logs it when it is new.
func (w *Watch) note(ctx context.Context, err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	logger := klog.FromContext(ctx)
	switch wasLost := !w.lost.IsZero(); {
	case err != nil && !wasLost:
		w.lost = time.Now()
		logger.Error(err, "The container runtime does not answer any more")
	case err == nil && wasLost:
		logger.Info("The container runtime answers again", "after", time.Since(w.lost).Round(time.Second).String())
		w.lost = time.Time{}
	}
	w.why = err
}

// Ready says that the runtime answers.
func (w *Watch) Ready() error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.lost.IsZero() {
		return nil
	}
	return fmt.Errorf("containerRuntime: lost since %s: %w", w.lost.UTC().Format(time.RFC3339), w.why)
}

// Alive says that the runtime has not been lost for so long that it may well be back where this program does not see it: the folder of its socket may
// have been replaced, and a new container would mount the new one. While the runtime is really gone, nobody can restart this program's container, and
// nothing is lost by asking for it.
func (w *Watch) Alive() error {
	err := w.Ready()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.lost.IsZero() || time.Since(w.lost) < w.o.Patience {
		return nil
	}
	return err
}
