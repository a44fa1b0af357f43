// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/http"
)

// check is nil when all is well.
type check func() error

// health answers /livez by the one list of checks and /readyz by the other. /healthz is the published name of the latter.
func health(alive, ready []check) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", answer(alive))
	mux.HandleFunc("/readyz", answer(ready))
	mux.HandleFunc("/healthz", answer(ready))
	return mux
}

// answer says ok, or everything that is wrong, one in a line.
func answer(checks []check) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var wrong []error
		for _, c := range checks {
			wrong = append(wrong, c())
		}
		if err := errors.Join(wrong...); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte("ok"))
	}
}
