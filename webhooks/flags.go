// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/keelson/keelson/api/gates"
)

// version is set when the program is linked.
var version = "devel"

// errHelp says that the user asked for help or the version, and got it.
var errHelp = errors.New("help was printed")

// flags are the settings of the program. COMPAT: the environment variables are the published ones.
type flags struct {
	metricsAddr, healthAddr    string
	port                       int
	namespace, service, secret string
	log                        zap.Options
}

func parse(args []string, out io.Writer) (flags, error) {
	var f flags
	var gateList, gateDir string
	var showVersion bool
	set := flag.NewFlagSet("webhooks", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.metricsAddr, "metrics-addr", "127.0.0.1:8080", "where metrics are served, on the loopback address only; 0 turns them off")
	set.StringVar(&f.healthAddr, "health-probe-addr", ":8000", "where /healthz and /readyz are served")
	set.IntVar(&f.port, "port", 9876, "where webhooks are served")
	set.StringVar(&f.namespace, "namespace", env("POD_NAMESPACE", "kruise-system"), "namespace of the Service and the Secret")
	set.StringVar(&f.service, "service", env("SERVICE_NAME", "kruise-webhook-service"), "name of the Service that the API server calls")
	set.StringVar(&f.secret, "secret", env("SECRET_NAME", "kruise-webhook-certs"), "name of the Secret that holds the certificate")
	set.StringVar(&gateList, "feature-gates", "", "feature gates, such as CloneSetShortHash=true; they win over the directory")
	set.StringVar(&gateDir, "feature-gates-dir", "", "directory with one file for each feature gate, holding true or false")
	set.BoolVar(&showVersion, "version", false, "print the version")
	f.log.BindFlags(set)
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		set.SetOutput(out)
		set.PrintDefaults()
		return f, errHelp
	} else if err != nil {
		return f, err
	}
	if showVersion {
		fmt.Fprintln(out, version)
		return f, errHelp
	}
	if host, _, err := net.SplitHostPort(f.metricsAddr); f.metricsAddr != "0" && (err != nil || !net.ParseIP(host).IsLoopback()) {
		return f, fmt.Errorf("--metrics-addr=%s: it must be a loopback address such as 127.0.0.1:8080, or 0", f.metricsAddr)
	}
	// No gate changes what this program does yet, but what cannot be meant is refused.
	_, err := gates.Load(gateList, gateDir)
	return f, err
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
