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
)

// version is set when the program is linked.
var version = "devel"

// errHelp says that the user asked for help or the version, and got it.
var errHelp = errors.New("help was printed")

// flags are the settings of the program. Names are the published ones where there are any.
type flags struct {
	node                    string
	socketRoot, socketFile  string
	healthAddr, metricsAddr string
	// readsAsNode lets the agent read Pods as the node that it runs on.
	readsAsNode bool
	logFormat   string
	verbosity   int

	// reportsMeta lets the agent report what runs; followsMetadata lets it restart containers for their environment, too.
	reportsMeta     bool
	followsMetadata bool
	gateNotes       []string
}

func parse(args []string, out io.Writer) (flags, error) {
	var f flags
	var gateList, gateDir string
	var showVersion bool
	set := flag.NewFlagSet("nodeagent", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.socketRoot, "socket-root", "/run", "folder below which the sockets of container runtimes are looked for")
	set.StringVar(&f.socketFile, "socket-file", "", "socket of the container runtime; empty looks for it")
	set.StringVar(&f.healthAddr, "health-probe-addr", ":10220", "where /livez and /healthz are served")
	set.StringVar(&f.metricsAddr, "addr", "127.0.0.1:10221", "where metrics are served, on the loopback address only; 0 turns them off")
	set.BoolVar(&f.readsAsNode, "read-as-node", true,
		"read Pods as the node that this runs on, which may read its own and no others; before Kubernetes 1.36 the program must read as itself")
	set.StringVar(&gateList, "feature-gates", "", "feature gates, such as DaemonWatchingPod=false; they win over the directory")
	set.StringVar(&gateDir, "feature-gates-dir", "", "directory with one file for each feature gate, holding true or false")
	set.StringVar(&f.logFormat, "logging-format", "json", "how the log is written: json or text")
	set.IntVar(&f.verbosity, "v", 0, "how much is logged: 0 the program's life, 1 what is written, 4 every object")
	set.BoolVar(&showVersion, "version", false, "print the version")
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
	f.node = os.Getenv("NODE_NAME")
	if err := f.check(set.Args()); err != nil {
		return f, err
	}
	return f, f.resolveGates(gateList, gateDir)
}

// check refuses values that the flag package lets pass.
func (f *flags) check(rest []string) error {
	switch host, _, err := net.SplitHostPort(f.metricsAddr); {
	case len(rest) > 0:
		return fmt.Errorf("%q: only flags are understood", rest[0])
	case f.node == "":
		return errors.New("NODE_NAME: the environment must name the node that this program runs on")
	case f.metricsAddr != "0" && (err != nil || !net.ParseIP(host).IsLoopback()):
		return fmt.Errorf("--addr=%s: it must be a loopback address such as 127.0.0.1:10221, or 0", f.metricsAddr)
	case f.logFormat != "json" && f.logFormat != "text":
		return fmt.Errorf("--logging-format=%s: it must be json or text", f.logFormat)
	case f.verbosity < 0 || f.verbosity > 10:
		return fmt.Errorf("-v=%d: it must be from 0 to 10", f.verbosity)
	default:
		return nil
	}
}

// logger writes to the standard error output. What slog calls a level is a verbosity below zero.
func (f *flags) logger(out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(-f.verbosity)}
	if f.logFormat == "text" {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

// resolveGates turns gates into plain fields.
func (f *flags) resolveGates(list, dir string) error {
	set, err := gates.Load(list, dir)
	if err != nil {
		return err
	}
	f.gateNotes = set.Notes()
	f.reportsMeta = set.Enabled(gates.DaemonWatchingPod)
	f.followsMetadata = set.Enabled(gates.InPlaceUpdateEnvFromMetadata)
	return nil
}
