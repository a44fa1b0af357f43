// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates

// The gates, each with its row in the table below.
const (
	PodWebhook                                Name = "PodWebhook"
	KruiseDaemon                              Name = "KruiseDaemon"
	DaemonWatchingPod                         Name = "DaemonWatchingPod"
	CloneSetShortHash                         Name = "CloneSetShortHash"
	KruisePodReadinessGate                    Name = "KruisePodReadinessGate"
	PreDownloadImageForInPlaceUpdate          Name = "PreDownloadImageForInPlaceUpdate"
	CloneSetPartitionRollback                 Name = "CloneSetPartitionRollback"
	ResourcesDeletionProtection               Name = "ResourcesDeletionProtection"
	WorkloadSpread                            Name = "WorkloadSpread"
	PodUnavailableBudgetDeleteGate            Name = "PodUnavailableBudgetDeleteGate"
	PodUnavailableBudgetUpdateGate            Name = "PodUnavailableBudgetUpdateGate"
	TemplateNoDefaults                        Name = "TemplateNoDefaults"
	InPlaceUpdateEnvFromMetadata              Name = "InPlaceUpdateEnvFromMetadata"
	StatefulSetAutoDeletePVC                  Name = "StatefulSetAutoDeletePVC"
	SidecarSetPatchPodMetadataDefaultsAllowed Name = "SidecarSetPatchPodMetadataDefaultsAllowed"
	SidecarTerminator                         Name = "SidecarTerminator"
	PodProbeMarkerGate                        Name = "PodProbeMarkerGate"
	PreDownloadImageForDaemonSetUpdate        Name = "PreDownloadImageForDaemonSetUpdate"
	CloneSetEventHandlerOptimization          Name = "CloneSetEventHandlerOptimization"
	PreparingUpdateAsUpdate                   Name = "PreparingUpdateAsUpdate"
	ImagePullJobGate                          Name = "ImagePullJobGate"
	ResourceDistributionGate                  Name = "ResourceDistributionGate"
	DeletionProtectionForCRDCascadingGate     Name = "DeletionProtectionForCRDCascadingGate"
	EnhancedLivenessProbe                     Name = "EnhancedLivenessProbe"
	RecreatePodWhenChangeVCTInCloneSetGate    Name = "RecreatePodWhenChangeVCTInCloneSetGate"
	StatefulSetStartOrdinal                   Name = "StatefulSetStartOrdinal"
	PodIndexLabel                             Name = "PodIndexLabel"
	EnableExternalCerts                       Name = "EnableExternalCerts"
	StatefulSetAutoResizePVCGate              Name = "StatefulSetAutoResizePVCGate"
	ForceDeleteTimeoutExpectationGate         Name = "ForceDeleteTimeoutExpectationGate"
	InPlaceWorkloadVerticalScaling            Name = "InPlaceWorkloadVerticalScaling"
	EnablePodProbeMarkerOnServerless          Name = "EnablePodProbeMarkerOnServerless"
	EnableSortSidecarContainerByName          Name = "EnableSortSidecarContainerByName"
	InPlacePodVerticalScaling                 Name = "InPlacePodVerticalScaling"
	DefaultHostNetworkHostPortsInPodTemplates Name = "DefaultHostNetworkHostPortsInPodTemplates"
	DaemonSetPruneIneligibleNodes             Name = "DaemonSetPruneIneligibleNodes"
)

// All returns every gate, room by room. The caller owns the slice.
func All() []Gate {
	var all []Gate
	for _, room := range [][]Gate{podGates(), nodeGates(), workloadGates(), operatorGates()} {
		all = append(all, room...)
	}
	return all
}

// podGates are the gates of what happens to a Pod at admission.
func podGates() []Gate {
	webhook := []Name{PodWebhook}
	return []Gate{
		{Name: PodWebhook, Default: true, Stage: Beta,
			Doc: "Serves the webhooks that change and check Pods."},
		{Name: KruisePodReadinessGate, Stage: Alpha, Needs: webhook,
			Doc: "Puts the readiness gate KruisePodReady into every Pod, not only into those that Keelson manages."},
		{Name: WorkloadSpread, Default: true, Stage: Beta, Needs: webhook,
			Doc: "Spreads the Pods of a workload over subsets of nodes."},
		{Name: PodUnavailableBudgetDeleteGate, Default: true, Stage: Beta, Needs: webhook,
			Doc: "Lets a PodUnavailableBudget deny the deletion and eviction of Pods."},
		{Name: PodUnavailableBudgetUpdateGate, Stage: Alpha, Needs: webhook,
			Doc: "Lets a PodUnavailableBudget deny updates of Pods in place."},
		{Name: SidecarSetPatchPodMetadataDefaultsAllowed, Stage: Alpha, Needs: webhook,
			Doc: "Lets a SidecarSet patch any metadata key of a Pod when no list of allowed keys is configured."},
		{Name: EnhancedLivenessProbe, Stage: Alpha, Needs: []Name{PodWebhook, KruiseDaemon},
			Doc: "Moves the liveness probe of a Pod that asks for it into an annotation, so that budgets apply to restarts."},
		{Name: EnablePodProbeMarkerOnServerless, Stage: Alpha, Needs: webhook,
			Doc: "Hands the probes of a PodProbeMarker to serverless Pods in an annotation."},
		{Name: EnableSortSidecarContainerByName, Stage: Alpha,
			Doc: "Sorts the containers that SidecarSets inject by name."},
		{Name: InPlacePodVerticalScaling, Stage: Alpha,
			Doc: "Takes it that the cluster resizes Pods in place, so that a budget tells a resize from another update."},
	}
}

// nodeGates are the gates of what happens on a node.
func nodeGates() []Gate {
	daemon := []Name{KruiseDaemon}
	return []Gate{
		{Name: KruiseDaemon, Default: true, Stage: Beta, Class: Built,
			Doc: "Says that the node agent runs on the nodes, and enables what needs it."},
		{Name: DaemonWatchingPod, Default: true, Stage: Beta, Class: Built, Needs: daemon,
			Doc: "Lets the node agent watch the Pods of its own node and report what the container runtime runs."},
		{Name: PreDownloadImageForInPlaceUpdate, Stage: Alpha, Needs: daemon, Forces: []Name{ImagePullJobGate},
			Doc: "Pulls the new images of a CloneSet or StatefulSet ahead of its update in place."},
		{Name: PreDownloadImageForDaemonSetUpdate, Stage: Alpha, Needs: daemon, Forces: []Name{ImagePullJobGate},
			Doc: "Pulls the new images of a DaemonSet ahead of its update."},
		// Without the reports of the node agent, such an update would never be seen to be complete.
		{Name: InPlaceUpdateEnvFromMetadata, Default: true, Stage: Beta, Class: Built, Needs: []Name{KruiseDaemon, DaemonWatchingPod},
			Doc: "Restarts a container in place when an environment variable follows a changed label or annotation."},
		{Name: SidecarTerminator, Stage: Alpha, Needs: daemon,
			Doc: "Stops the sidecars of a job's Pod once its main containers have finished."},
		{Name: PodProbeMarkerGate, Default: true, Stage: Beta, Needs: daemon,
			Doc: "Runs the probes of a PodProbeMarker and marks Pods by their results."},
		{Name: ImagePullJobGate, Stage: Alpha, Needs: daemon,
			Doc: "Pulls images to nodes by ImagePullJob and ImageListPullJob."},
	}
}

// workloadGates are the gates of the workloads.
func workloadGates() []Gate {
	return []Gate{
		{Name: CloneSetShortHash, Stage: Alpha, Class: Built,
			Doc: "Writes only the hash of a revision, without the name of the CloneSet, into the revision label of its Pods."},
		{Name: CloneSetPartitionRollback, Stage: Alpha, Class: Built,
			Doc: "Takes updated Pods back to the current revision when a larger partition asks for it."},
		{Name: CloneSetEventHandlerOptimization, Stage: Alpha, Class: Settled,
			Doc:     "Leaves out events of Pods that cannot change what a CloneSet does.",
			Instead: "Events of Pods that cannot change what a CloneSet does are always left out."},
		{Name: PreparingUpdateAsUpdate, Stage: Alpha, Class: Built,
			Doc: "Counts Pods in PreparingUpdate as updated while scaling."},
		{Name: RecreatePodWhenChangeVCTInCloneSetGate, Stage: Alpha, Class: Built,
			Doc: "Makes the volumeClaimTemplates of a CloneSet part of its revision, so that a change recreates Pods."},
		{Name: InPlaceWorkloadVerticalScaling, Stage: Alpha, Class: Built,
			Doc: "Updates changed resources in place."},
		{Name: StatefulSetAutoDeletePVC, Default: true, Stage: Beta,
			Doc: "Deletes the PVCs of a StatefulSet as its persistentVolumeClaimRetentionPolicy says."},
		{Name: StatefulSetStartOrdinal, Stage: Alpha,
			Doc: "Lets the ordinals of a StatefulSet begin at spec.ordinals.start."},
		{Name: StatefulSetAutoResizePVCGate, Stage: Alpha,
			Doc: "Grows the PVCs of a StatefulSet when its volumeClaimTemplates grow."},
		{Name: PodIndexLabel, Default: true, Stage: Beta,
			Doc: "Puts the ordinal of a StatefulSet's Pod into the label apps.kubernetes.io/pod-index."},
		{Name: DaemonSetPruneIneligibleNodes, Stage: Alpha,
			Doc: "Leaves Pods of a DaemonSet on nodes that are no longer eligible out of maxUnavailable."},
		{Name: DefaultHostNetworkHostPortsInPodTemplates, Stage: Alpha, Class: Settled,
			Doc:     "Defaults hostPort to containerPort in templates on the host's network.",
			Instead: "The templates of workloads are never given defaults; Kubernetes gives a Pod on the network of its host that port."},
	}
}

// operatorGates are the gates of Keelson as a whole.
func operatorGates() []Gate {
	return []Gate{
		{Name: ResourcesDeletionProtection, Stage: Beta,
			Doc: "Denies the deletion of resources that carry the delete-protection label."},
		{Name: DeletionProtectionForCRDCascadingGate, Stage: Alpha, Needs: []Name{ResourcesDeletionProtection},
			Doc: "Denies the deletion of a CRD while objects of its kind exist."},
		{Name: ResourceDistributionGate, Stage: Beta,
			Doc: "Copies a Secret or ConfigMap into many namespaces."},
		{Name: TemplateNoDefaults, Stage: Alpha, Class: Settled,
			Doc:     "Leaves the templates of workloads as users wrote them, without defaults.",
			Instead: "The templates of workloads are never given defaults."},
		{Name: EnableExternalCerts, Stage: Alpha,
			Doc: "Serves the webhooks with certificates that somebody else provides."},
		{Name: ForceDeleteTimeoutExpectationGate, Stage: Alpha, Class: Settled,
			Doc:     "Gives up waiting for a write that the cache never shows.",
			Instead: "A write that the cache does not show is always given up waiting for after a while, and looked for on the API server."},
	}
}
