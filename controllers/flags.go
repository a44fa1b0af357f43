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
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/keelson/keelson/api/gates"
	"github.com/keelson/keelson/controllers/plan"
)

// version is set when the program is linked.
var version = "devel"

// errHelp says that the user asked for help or the version, and got it.
var errHelp = errors.New("help was printed")

// flags are the settings of the program. Names and defaults are the published ones where there are any.
type flags struct {
	metricsAddr, healthAddr, pprofAddr        string
	enablePprof                               bool
	leaderElection                            bool
	leaderElectionNamespace, leaderElectionID string
	leaseDuration, renewDeadline, retryPeriod time.Duration
	namespace                                 string
	cloneSetWorkers                           int
	excludePreparingDelete                    bool
	logFormat                                 string
	verbosity                                 int

	policy    plan.Policy
	gateNotes []string
}

func parse(args []string, out io.Writer) (flags, error) {
	var f flags
	var gateList, gateDir string
	var showVersion bool
	set := flag.NewFlagSet("controllers", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.metricsAddr, "metrics-addr", "127.0.0.1:8080", "where metrics are served; 0 turns them off. Beyond loopback they need an authorized token")
	set.StringVar(&f.healthAddr, "health-probe-addr", ":8000", "where /healthz and /readyz are served")
	set.BoolVar(&f.enablePprof, "enable-pprof", false, "serve profiles at --pprof-addr")
	set.StringVar(&f.pprofAddr, "pprof-addr", "127.0.0.1:8090", "where profiles are served; they tell a lot and ask nobody, so it must be a loopback address")
	set.BoolVar(&f.leaderElection, "enable-leader-election", true, "let one of several replicas work at a time")
	set.StringVar(&f.leaderElectionNamespace, "leader-election-namespace", env("POD_NAMESPACE", "kruise-system"), "namespace of the lease")
	set.StringVar(&f.leaderElectionID, "leader-election-id", "kruise-manager", "name of the lease")
	set.DurationVar(&f.leaseDuration, "leader-election-lease-duration", 15*time.Second, "how long others wait before they take over")
	set.DurationVar(&f.renewDeadline, "leader-election-renew-deadline", 10*time.Second, "how long the leader tries to renew before it gives up")
	set.DurationVar(&f.retryPeriod, "leader-election-retry-period", 2*time.Second, "how often the lease is tried")
	set.StringVar(&f.namespace, "namespace", "", "work in this namespace only; empty means all")
	set.IntVar(&f.cloneSetWorkers, "cloneset-workers", 3, "how many CloneSets are worked on at once")
	set.BoolVar(&f.excludePreparingDelete, "cloneset-scaling-exclude-preparing-delete", false, "leave Pods in PreparingDelete out of the count of all CloneSets")
	set.StringVar(&gateList, "feature-gates", "", "feature gates, such as CloneSetShortHash=true; they win over the directory")
	set.StringVar(&gateDir, "feature-gates-dir", "", "directory with one file for each feature gate, holding true or false")
	set.BoolVar(&showVersion, "version", false, "print the version")
	set.StringVar(&f.logFormat, "logging-format", "json", "how the log is written: json or text")
	set.IntVar(&f.verbosity, "v", 0, "how much is logged: 0 the program's life, 1 changes of intent, 2 reasons of decisions, 4 every object")
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
	return f, f.resolveGates(gateList, gateDir)
}

// check refuses values that the flag package lets pass.
func (f *flags) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: only flags are understood", rest[0])
	case f.cloneSetWorkers < 1:
		return fmt.Errorf("--cloneset-workers=%d: it must be 1 or more", f.cloneSetWorkers)
	case f.logFormat != "json" && f.logFormat != "text":
		return fmt.Errorf("--logging-format=%s: it must be json or text", f.logFormat)
	case f.verbosity < 0 || f.verbosity > 10:
		return fmt.Errorf("-v=%d: it must be from 0 to 10", f.verbosity)
	case f.enablePprof && !isLocal(f.pprofAddr):
		return fmt.Errorf("--pprof-addr=%s: it must be a loopback address such as 127.0.0.1:8090, which kubectl port-forward reaches", f.pprofAddr)
	case f.leaseDuration <= f.renewDeadline:
		return fmt.Errorf("--leader-election-lease-duration=%s: it must be longer than --leader-election-renew-deadline=%s", f.leaseDuration, f.renewDeadline)
	default:
		return nil
	}
}

// logger writes to the standard error output.
func (f *flags) logger() logr.Logger {
	options := []zap.Opts{zap.Level(zapcore.Level(-f.verbosity)), zap.StacktraceLevel(zapcore.PanicLevel)}
	if f.logFormat == "text" {
		return zap.New(append(options, zap.ConsoleEncoder())...)
	}
	return zap.New(append(options, zap.JSONEncoder(func(c *zapcore.EncoderConfig) { c.EncodeTime = zapcore.RFC3339NanoTimeEncoder }))...)
}

// resolveGates turns gates into plain fields: nothing after this asks a gate.
func (f *flags) resolveGates(list, dir string) error {
	set, err := gates.Load(list, dir)
	if err != nil {
		return err
	}
	f.gateNotes = set.Notes()
	f.policy = plan.Policy{
		ShortHash:               set.Enabled(gates.CloneSetShortHash),
		PartitionRollback:       set.Enabled(gates.CloneSetPartitionRollback),
		PreparingUpdateAsUpdate: set.Enabled(gates.PreparingUpdateAsUpdate),
		RecreateOnClaimChange:   set.Enabled(gates.RecreatePodWhenChangeVCTInCloneSetGate),
		EnvFromMetadata:         set.Enabled(gates.InPlaceUpdateEnvFromMetadata),
		VerticalScaling:         set.Enabled(gates.InPlaceWorkloadVerticalScaling),
		ExcludePreparingDelete:  f.excludePreparingDelete,
	}
	return nil
}

// env is a variable of the environment, or the fallback where it is not set.
func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// profiles is where profiles are served; empty means nowhere.
func (f flags) profiles() string {
	if f.enablePprof {
		return f.pprofAddr
	}
	return ""
}

// isMetricsLocal says that metrics are reachable from this machine alone, or not at all.
func (f flags) isMetricsLocal() bool {
	return f.metricsAddr == "0" || isLocal(f.metricsAddr)
}

// isLocal reports whether an address is reachable from this machine alone.
func isLocal(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
