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
	reportsMeta             bool
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
	set.StringVar(&gateList, "feature-gates", "", "feature gates, such as DaemonWatchingPod=false; they win over the directory")
	set.StringVar(&gateDir, "feature-gates-dir", "", "directory with one file for each feature gate, holding true or false")
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
	if f.node = os.Getenv("NODE_NAME"); f.node == "" {
		return f, errors.New("NODE_NAME: the environment must name the node that this program runs on")
	}
	if host, _, err := net.SplitHostPort(f.metricsAddr); f.metricsAddr != "0" && (err != nil || !net.ParseIP(host).IsLoopback()) {
		return f, fmt.Errorf("--addr=%s: it must be a loopback address such as 127.0.0.1:10221, or 0", f.metricsAddr)
	}
	return f, f.resolveGates(gateList, gateDir)
}

// resolveGates turns gates into plain fields.
func (f *flags) resolveGates(list, dir string) error {
	set, err := gates.Load(list, dir)
	if err != nil {
		return err
	}
	f.reportsMeta = set.Enabled(gates.DaemonWatchingPod)
	return nil
}
