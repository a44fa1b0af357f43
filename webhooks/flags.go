// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/keelson/keelson/api/gates"
	"github.com/keelson/keelson/controllers/plan/inplace"
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
	logFormat                  string
	verbosity                  int
	// inPlace says what the controllers change on a running Pod.
	inPlace inplace.Options
	// gateNotes are worth telling once: each names a gate that is set and changes nothing.
	gateNotes []string
}

func parse(args []string, out io.Writer) (flags, error) {
	var f flags
	var gateList, gateDir string
	var showVersion bool
	set := flag.NewFlagSet("webhooks", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.metricsAddr, "metrics-addr", "127.0.0.1:8080", "where metrics are served; 0 turns them off. Beyond loopback they need an authorized token")
	set.StringVar(&f.healthAddr, "health-probe-addr", ":8000", "where /healthz and /readyz are served")
	set.IntVar(&f.port, "port", 9876, "where webhooks are served")
	set.StringVar(&f.namespace, "namespace", env("POD_NAMESPACE", "kruise-system"), "namespace of the Service and the Secret")
	set.StringVar(&f.service, "service", env("SERVICE_NAME", "kruise-webhook-service"), "name of the Service that the API server calls")
	set.StringVar(&f.secret, "secret", env("SECRET_NAME", "kruise-webhook-certs"), "name of the Secret that holds the certificate")
	set.StringVar(&gateList, "feature-gates", "", "feature gates, such as CloneSetShortHash=true; they win over the directory")
	set.StringVar(&gateDir, "feature-gates-dir", "", "directory with one file for each feature gate, holding true or false")
	set.BoolVar(&showVersion, "version", false, "print the version")
	set.StringVar(&f.logFormat, "logging-format", "json", "how the log is written: json or text")
	set.IntVar(&f.verbosity, "v", 0, "how much is logged, from 0 to 10")
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
	if err := f.check(set.Args()); err != nil {
		return f, err
	}
	resolved, err := gates.Load(gateList, gateDir)
	if err != nil {
		return f, err
	}
	f.gateNotes = resolved.Notes()
	f.inPlace = inplace.Options{
		EnvFromMetadata: resolved.Enabled(gates.InPlaceUpdateEnvFromMetadata),
		VerticalScaling: resolved.Enabled(gates.InPlaceWorkloadVerticalScaling),
	}
	return f, nil
}

// check refuses values that the flag package lets pass.
func (f *flags) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: only flags are understood", rest[0])
	case f.port < 1 || f.port > 65535:
		return fmt.Errorf("--port=%d: it must be from 1 to 65535", f.port)
	case f.logFormat != "json" && f.logFormat != "text":
		return fmt.Errorf("--logging-format=%s: it must be json or text", f.logFormat)
	case f.verbosity < 0 || f.verbosity > 10:
		return fmt.Errorf("-v=%d: it must be from 0 to 10", f.verbosity)
	default:
		return nil
	}
}

// isMetricsLocal says that metrics are reachable from this machine alone, or not at all.
func (f *flags) isMetricsLocal() bool {
	if f.metricsAddr == "0" {
		return true
	}
	host, _, err := net.SplitHostPort(f.metricsAddr)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// logger writes structured lines. What slog calls a level is a verbosity below zero.
func (f *flags) logger(out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(-f.verbosity)}
	if f.logFormat == "text" {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
