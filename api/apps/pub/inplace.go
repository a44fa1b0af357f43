// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pub

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// InPlaceUpdateReady is the Pod condition, and readiness gate, that is False while a Pod is updated in place.
	InPlaceUpdateReady corev1.PodConditionType = "InPlaceUpdateReady"
	// InPlaceUpdateStateKey is the Pod annotation that holds the InPlaceUpdateState as JSON.
	InPlaceUpdateStateKey = "apps.kruise.io/inplace-update-state"
	// InPlaceUpdateStateKeyOld is the name that the annotation had before v1.0.
	InPlaceUpdateStateKeyOld = "inplace-update-state"
	// InPlaceUpdateGraceKey is the Pod annotation that holds the update to apply once the grace period has passed, as JSON.
	InPlaceUpdateGraceKey = "apps.kruise.io/inplace-update-grace"
	// InPlaceUpdateGraceKeyOld is the name that the annotation had before v1.0.
	InPlaceUpdateGraceKeyOld = "inplace-update-grace"
	// RuntimeContainerMetaKey is the Pod annotation in which the node agent reports what the container runtime runs, a
	// RuntimeContainerMetaSet as JSON.
	RuntimeContainerMetaKey = "apps.kruise.io/runtime-containers-meta"
	// KruisePodReady is the Pod condition, and readiness gate, by which several writers can hold a Pod not ready. Its message is
	// a JSON list of {"userAgent","key"}.
	KruisePodReady corev1.PodConditionType = "KruisePodReady"
)

// InPlaceUpdateStrategy says how a Pod is updated in place.
type InPlaceUpdateStrategy struct {
	// GracePeriodSeconds is the time, in seconds, between the moment a Pod is made not ready and the change of its images.
	// Zero changes them at once.
	// +optional
	// +kubebuilder:validation:Minimum=0
	GracePeriodSeconds int32 `json:"gracePeriodSeconds,omitempty"`
	// ImagePreDownloadParallelism is how many nodes pull the new images at once before the update: a number, which may stand in quotes, or a percentage.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 2147483647 : self.matches('^[0-9]{1,9}%?$')",message="imagePreDownloadParallelism must be a number of nodes, 0 to 2147483647, or a percentage: write 5 or 25%"
	ImagePreDownloadParallelism *intstr.IntOrString `json:"imagePreDownloadParallelism,omitempty"`
	// ImagePreDownloadTimeoutSeconds is how long one such pull may take, in seconds.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ImagePreDownloadTimeoutSeconds *int32 `json:"imagePreDownloadTimeoutSeconds,omitempty"`
	// ImagePreDownloadMinUpdatedReadyPods is how many updated Pods must be ready before the images are pulled ahead.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ImagePreDownloadMinUpdatedReadyPods *int32 `json:"imagePreDownloadMinUpdatedReadyPods,omitempty"`
}

// InPlaceUpdateState is what a Pod remembers of its running or last update in place.
type InPlaceUpdateState struct {
	// Revision is the name of the revision that the Pod is updated to.
	Revision string `json:"revision"`
	// UpdateTimestamp is when the update began.
	UpdateTimestamp metav1.Time `json:"updateTimestamp"`
	// LastContainerStatuses are the statuses, by container name, before the update. Without any it is written as null, as published.
	LastContainerStatuses map[string]InPlaceUpdateContainerStatus `json:"lastContainerStatuses"`
	// UpdateEnvFromMetadata says that containers restart because an environment variable follows changed metadata.
	UpdateEnvFromMetadata bool `json:"updateEnvFromMetadata,omitempty"`
	// UpdateResources says that resources change.
	UpdateResources bool `json:"updateResources,omitempty"`
	// UpdateImages says that images change.
	UpdateImages bool `json:"updateImages,omitempty"`
	// ContainerResources are the resources, by container name, that the batches so far ask for. They are written after this state, through
	// another subresource. This field is ours alone.
	ContainerResources map[string]corev1.ResourceRequirements `json:"containerResources,omitempty"`
	// NextContainerImages are the images, by container name, of later batches.
	NextContainerImages map[string]string `json:"nextContainerImages,omitempty"`
	// NextContainerRefMetadata is the metadata, by container name, of later batches.
	NextContainerRefMetadata map[string]metav1.ObjectMeta `json:"nextContainerRefMetadata,omitempty"`
	// NextContainerResources are the resources, by container name, of later batches.
	NextContainerResources map[string]corev1.ResourceRequirements `json:"nextContainerResources,omitempty"`
	// PreCheckBeforeNext is what must hold before the next batch.
	PreCheckBeforeNext *InPlaceUpdatePreCheckBeforeNext `json:"preCheckBeforeNext,omitempty"`
	// ContainerBatchesRecord lists the batches so far, oldest first.
	ContainerBatchesRecord []InPlaceUpdateContainerBatch `json:"containerBatchesRecord,omitempty"`
}

// InPlaceUpdatePreCheckBeforeNext is what must hold before the next batch of containers is updated.
type InPlaceUpdatePreCheckBeforeNext struct {
	// ContainersRequiredReady are the names of the containers that must be ready.
	ContainersRequiredReady []string `json:"containersRequiredReady,omitempty"`
}

// InPlaceUpdateContainerBatch is one batch of containers that were updated together.
type InPlaceUpdateContainerBatch struct {
	// Timestamp is when the batch was written.
	Timestamp metav1.Time `json:"timestamp"`
	// Containers are the names of its containers, sorted.
	Containers []string `json:"containers"`
}

// InPlaceUpdateContainerStatus is what is kept of a container's status before its update.
type InPlaceUpdateContainerStatus struct {
	// ImageID is the ID of the image that ran.
	ImageID string `json:"imageID,omitempty"`
	// OvertakenImages are the images of updates that this one overtook before the container had followed them: a container that runs one of them
	// has followed that update, and not this one. This field is ours alone.
	OvertakenImages []string `json:"overtakenImages,omitempty"`
}

// RuntimeContainerMetaSet is what the node agent reports of a Pod's containers.
type RuntimeContainerMetaSet struct {
	// Containers has an entry for each container that the runtime runs.
	Containers []RuntimeContainerMeta `json:"containers"`
}

// RuntimeContainerMeta is the runtime identity of one container.
type RuntimeContainerMeta struct {
	// Name is the container's name in the Pod.
	Name string `json:"name"`
	// ContainerID is "<runtime>://<id>", as in the Pod's status.
	ContainerID string `json:"containerID"`
	// RestartCount is how often the kubelet has started the container again.
	RestartCount int32 `json:"restartCount"`
	// Hashes identify the specification from which the container was started.
	Hashes RuntimeContainerHashes `json:"hashes"`
	// PreStopHookStarted says that the node agent stops the container to start it again, and has started its preStop hook: it starts it no second
	// time, whatever happens to the agent. This field is ours alone.
	PreStopHookStarted bool `json:"preStopHookStarted,omitempty"`
}

// RuntimeContainerHashes identify the specification from which a container was started.
type RuntimeContainerHashes struct {
	// PlainHash is the kubelet's hash of the container's specification.
	PlainHash uint64 `json:"plainHash"`
	// ExtractedEnvFromMetadataHash is a hash of the environment variables that the container took from the Pod's labels and
	// annotations; zero when there are none.
	ExtractedEnvFromMetadataHash uint64 `json:"extractedEnvFromMetadataHash,omitempty"`
}
