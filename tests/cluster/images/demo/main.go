// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo is the workload of the demo and the suites. It serves what it is and since when, and can be told to misbehave:
//
//	CRASH=1            it ends with an error at once
//	STUBBORN=10s       it ignores SIGTERM for that time
//	SLEEP=1            it serves nothing and waits
//	PREPARE=FILE       it writes 100 MB to the file, takes five seconds for that and ends, as an init container that fetches data does
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set when the program is linked, one for each tag.
var version = "devel"

func main() {
	started := time.Now()
	if os.Getenv("CRASH") != "" {
		println("crashing as told")
		os.Exit(1)
	}
	if file := os.Getenv("PREPARE"); file != "" {
		prepare(file, started)
		return
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	if os.Getenv("SLEEP") == "" {
		go serve(started)
	}
	<-term
	if stubborn, err := time.ParseDuration(os.Getenv("STUBBORN")); err == nil {
		time.Sleep(stubborn)
	}
}

// prepare writes what could be an index or a model, as slowly as one that comes from elsewhere.
func prepare(file string, started time.Time) {
	if err := os.WriteFile(file, make([]byte, 100<<20), 0o644); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	time.Sleep(5*time.Second - time.Since(started))
}

func serve(started time.Time) {
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"version": version, "started": started.UTC(), "env": os.Environ()})
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	if err := http.ListenAndServe(":"+port, nil); err != nil {
		println(err.Error())
		os.Exit(1)
	}
}
