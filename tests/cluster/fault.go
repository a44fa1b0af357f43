// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keelson/keelson/tests/cluster/host"
)

// faultCommands break a cluster of real nodes on this machine, and mend it.
func faultCommands() []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "stop-kubelet NODE", Short: "Kill the kubelet of a node, such as 2, without warning", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ours(args[0], func(node int) error { return host.StopKubelet(cmd.Context(), node) })
			},
		},
		{
			Use: "start-kubelet NODE", Short: "Start the kubelet of a node again", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ours(args[0], func(node int) error { return host.StartKubelet(cmd.Context(), node) })
			},
		},
		{
			Use: "stop-runtime NODE", Short: "Kill the container runtime of a node without warning", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ours(args[0], func(node int) error { return host.StopRuntime(cmd.Context(), node) })
			},
		},
		{
			Use: "start-runtime NODE", Short: "Start the container runtime of a node again", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ours(args[0], func(node int) error { return host.StartRuntime(cmd.Context(), node) })
			},
		},
		{
			Use: "kill PROGRAM", Short: "Send SIGKILL to each container that runs a program, such as controllers", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				return ours("0", func(int) error {
					if host.Kill(args[0]) == 0 {
						return fmt.Errorf("killing %s: no container runs it", args[0])
					}
					return nil
				})
			},
		},
	}
}

// ours does something with a node of a cluster that may be broken.
func ours(number string, do func(node int) error) error {
	node, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%q: it must be the number of a node, such as 2", number)
	}
	return withMode(func(m clusterMode) error {
		if m.name != onHost {
			return fmt.Errorf("breaking the cluster: one of kind %s is not ours to break", m.name)
		}
		return do(node)
	})
}
