// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pub

const (
	// ContainerLaunchPriorityKey is the Pod annotation that gives all containers launch priorities at once.
	ContainerLaunchPriorityKey = "apps.kruise.io/container-launch-priority"
	// ContainerLaunchOrdered is the value of ContainerLaunchPriorityKey by which containers start in the order of the specification.
	ContainerLaunchOrdered = "Ordered"
	// ContainerLaunchPriorityEnv is the environment variable that holds the launch priority of its container, a whole number; higher ones go
	// first, and 0 is meant where it is missing.
	ContainerLaunchPriorityEnv = "KRUISE_CONTAINER_PRIORITY"
	// ContainerLaunchBarrierEnv is the environment variable that holds a container back until its turn. It refers to a key of a ConfigMap:
	// ContainerLaunchBarrierPrefix and the priority.
	ContainerLaunchBarrierEnv = "KRUISE_CONTAINER_BARRIER"
	// ContainerLaunchBarrierPrefix is how the keys to which ContainerLaunchBarrierEnv refers begin.
	ContainerLaunchBarrierPrefix = "p_"
)
