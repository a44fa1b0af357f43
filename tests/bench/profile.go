// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profilesAddress is where the controllers serve profiles when they are asked for.
const profilesAddress = "127.0.0.1:28090"

// profile takes profiles of the controllers while a scenario runs: of the processor five seconds at a time, and of the memory at the end. The returned
// function ends it.
func (b *bench) profile(ctx context.Context, s subject, scenario string) func() {
	if b.profiles == "" || !s.hasMetrics() {
		return func() {}
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			// The last one is let run to its end.
			if err := b.download(context.WithoutCancel(ctx), "profile?seconds=5", fmt.Sprintf("%s-%d-cpu-%d.pprof", scenario, b.round, n)); err != nil {
				b.say("  no profile: %v", err)
				return
			}
		}
	}()
	return func() {
		stop()
		<-ended
		for _, kind := range []string{"heap", "allocs"} {
			if err := b.download(context.WithoutCancel(ctx), kind, fmt.Sprintf("%s-%d-%s.pprof", scenario, b.round, kind)); err != nil {
				b.say("  no profile: %v", err)
			}
		}
	}
}

func (b *bench) download(ctx context.Context, what, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+profilesAddress+"/debug/pprof/"+what, nil)
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	target, err := os.Create(filepath.Join(b.profiles, file))
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	if _, err := io.Copy(target, response.Body); err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	return target.Close()
}
