// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cluster brings up a Kubernetes cluster to try Keelson on: real nodes on this machine, kind, or simulated ones.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keelson/keelson/tests/cluster/assets"
	"github.com/keelson/keelson/tests/cluster/host"
	"github.com/keelson/keelson/tests/cluster/kind"
	"github.com/keelson/keelson/tests/cluster/registry"
	"github.com/keelson/keelson/tests/cluster/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "cluster", Short: "Bring up a Kubernetes cluster to try Keelson on", SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(upCommand(), downCommand(), kubeconfigCommand(), statusCommand(), assetsCommand(), restartCommand(), registryCommand(), nodeCommand(), modeCommand(),
		runCommand(), rerunCommand(), processesCommand(), shopsCommand())
	root.AddCommand(faultCommands()...)
	return root
}

func upCommand() *cobra.Command {
	nodes := 3
	cmd := &cobra.Command{
		Use: "up", Short: "Bring the cluster up, or find it up; the last line says in JSON what it is",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if nodes < 1 || nodes > 99 {
				return fmt.Errorf("--nodes=%d: it must be 1 to 99", nodes)
			}
			return withMode(func(m clusterMode) error {
				if err := m.up(cmd.Context(), nodes); err != nil {
					return err
				}
				return json.NewEncoder(os.Stdout).Encode(map[string]any{
					"mode": m.name, "kubeconfig": m.kubeconfig, "registry": m.registry, "nodes": nodes, "auditLog": m.auditLog,
				})
			})
		},
	}
	cmd.Flags().IntVar(&nodes, "nodes", nodes, "how many nodes")
	return cmd
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Take the cluster away, with all that belongs to it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMode(func(m clusterMode) error { return m.down(cmd.Context()) })
		},
	}
}

func kubeconfigCommand() *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of the kubeconfig",
		RunE: func(*cobra.Command, []string) error {
			return withMode(func(m clusterMode) error {
				fmt.Println(m.kubeconfig)
				return nil
			})
		},
	}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say which kind of cluster is used here, and why",
		RunE: func(*cobra.Command, []string) error {
			m, why, err := thisMachine().choose()
			if err == nil {
				fmt.Printf("%s: %s\n", m, why)
			}
			return err
		},
	}
}

func assetsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "assets", Short: "Build Kubernetes and etcd, and print the folder for envtest",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := assets.Envtest(cmd.Context())
			if err == nil {
				fmt.Println(dir)
			}
			return err
		},
	}
}

func restartCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restart-apiserver", Short: "Kill the API server without warning and start it again",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMode(func(m clusterMode) error {
				if m.restartAPIServer == nil {
					return fmt.Errorf("restarting the API server: a cluster of kind %s is not ours to break", m.name)
				}
				return m.restartAPIServer(cmd.Context())
			})
		},
	}
}

func registryCommand() *cobra.Command {
	var dir string
	var addresses []string
	cmd := &cobra.Command{
		Use: "registry", Short: "Serve images", Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return registry.Serve(cmd.Context(), dir, addresses) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where layers are kept")
	cmd.Flags().StringSliceVar(&addresses, "address", nil, "where to listen")
	return cmd
}

func shopsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "push-shops", Short: "Push the large images by which the demo compares", Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withMode(func(m clusterMode) error {
				if m.name != onHost {
					return fmt.Errorf("pushing large images: only nodes of this machine have room for them")
				}
				return host.PushShops(cmd.Context())
			})
		},
	}
}

func nodeCommand() *cobra.Command {
	var number int
	var state, kubernetes, only string
	cmd := &cobra.Command{
		Use: "node", Short: "Be the first process of a node", Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if only != "" {
				return host.RunOnly(only, number, state, kubernetes)
			}
			return host.Run(cmd.Context(), number, state, kubernetes)
		},
	}
	cmd.Flags().IntVar(&number, "number", 0, "which node")
	cmd.Flags().StringVar(&only, "only", "", "start this program alone, in the namespaces of the node")
	cmd.Flags().StringVar(&state, "state", "", "the cluster's state folder")
	cmd.Flags().StringVar(&kubernetes, "kubernetes", "", "the folder of the Kubernetes programs")
	return cmd
}

// clusterMode is what a kind of cluster can do.
type clusterMode struct {
	name                 mode
	kubeconfig, registry string
	up                   func(context.Context, int) error
	down                 func(context.Context) error
	restartAPIServer     func(context.Context) error
	// run starts one of our programs beside a simulated cluster, rerun starts it anew, and processes are the numbers of all that run there.
	run       func(name string, args []string) error
	rerun     func(name string) error
	processes func() map[string]int
	auditLog  string
}

// withMode chooses a kind of cluster, says so, and does something with it.
func withMode(do func(clusterMode) error) error {
	chosen, why, err := thisMachine().choose()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "cluster: %s (%s)\n", chosen, why)
	switch chosen {
	case existing:
		nothing := func(context.Context) error { return nil }
		return do(clusterMode{
			name: existing, kubeconfig: os.Getenv("KEELSON_KUBECONFIG"), registry: os.Getenv("KEELSON_REGISTRY"),
			up: func(context.Context, int) error { return nil }, down: nothing,
		})
	case onHost:
		return do(clusterMode{
			name: onHost, kubeconfig: host.Kubeconfig(), registry: host.Registry, up: host.Up, down: host.Down, restartAPIServer: host.RestartAPIServer,
		})
	case inKind:
		return do(clusterMode{name: inKind, kubeconfig: kind.Kubeconfig(), registry: host.Registry, up: kind.Up, down: kind.Down})
	case inBench:
		bench, err := sim.Bench()
		if err != nil {
			return err
		}
		return do(simulated(inBench, bench))
	default:
		fmt.Fprintln(os.Stderr, "containers are SIMULATED: suites that need real ones, which is all of tests/ that talk to a cluster, are skipped here")
		return do(simulated(inSim, sim.Sim()))
	}
}

func simulated(name mode, c sim.Cluster) clusterMode {
	return clusterMode{
		name: name, kubeconfig: c.Kubeconfig(), up: c.Up, down: c.Down, restartAPIServer: c.RestartAPIServer, run: c.Run, rerun: c.Rerun,
		processes: c.Processes, auditLog: c.AuditLog(),
	}
}

func modeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "mode", Short: "Print the kind of cluster that is used here",
		RunE: func(*cobra.Command, []string) error {
			m, _, err := thisMachine().choose()
			if err == nil {
				fmt.Println(m)
			}
			return err
		},
	}
}

func runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run NAME PROGRAM [ARGUMENT...]", Short: "Run a program beside the simulated cluster", Hidden: true, Args: cobra.MinimumNArgs(2), DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			return withMode(func(m clusterMode) error {
				if m.run == nil {
					return fmt.Errorf("running %s: only a simulated cluster has programs beside it", args[0])
				}
				return m.run(args[0], args[1:])
			})
		},
	}
}

func rerunCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rerun NAME", Short: "End a program beside the simulated cluster and start it again as it was", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return withMode(func(m clusterMode) error {
				if m.rerun == nil {
					return fmt.Errorf("starting %s anew: only a simulated cluster has programs beside it", args[0])
				}
				return m.rerun(args[0])
			})
		},
	}
}

func processesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "processes", Short: "Print in JSON which programs run beside the simulated cluster, and their process numbers", Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return withMode(func(m clusterMode) error {
				if m.processes == nil {
					return fmt.Errorf("listing processes: only a simulated cluster has programs beside it")
				}
				return json.NewEncoder(os.Stdout).Encode(m.processes())
			})
		},
	}
}
