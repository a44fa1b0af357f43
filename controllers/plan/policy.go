// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

// Policy holds the feature gates that decisions depend on, resolved to plain fields when the program starts. The zero value
// has every optional behaviour off.
type Policy struct {
	// ShortHash writes only the hash part of a revision's name into the Pod label controller-revision-hash.
	ShortHash bool
	// PartitionRollback moves updated Pods back to the current revision when the partition grows.
	PartitionRollback bool
	// PreparingUpdateAsUpdate counts Pods in PreparingUpdate as updated while scaling.
	PreparingUpdateAsUpdate bool
	// VerticalScaling lets changed container resources be updated in place.
	VerticalScaling bool
	// EnvFromMetadata restarts containers in place when labels or annotations that their environment refers to change.
	EnvFromMetadata bool
	// RecreateOnClaimChange recreates a Pod, unless it must be updated in place, when the volumeClaimTemplates have changed with its template.
	RecreateOnClaimChange bool
	// ExcludePreparingDelete leaves Pods in PreparingDelete out of the count of replicas for every workload.
	ExcludePreparingDelete bool
}
