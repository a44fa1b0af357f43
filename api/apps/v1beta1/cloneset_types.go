// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/api/apps/pub"
)

const (
	// CloneSetInstanceIDKey is the label on a Pod and on its PVCs that holds the instance ID they share.
	CloneSetInstanceIDKey = "apps.kruise.io/cloneset-instance-id"
	// CloneSetClaimTemplatesHashKey is the annotation on a ControllerRevision that holds the hash of the set's volumeClaimTemplates.
	CloneSetClaimTemplatesHashKey = "kruise.io/cloneset-volumeclaimtemplate-hash"
	// CloneSetComparedClaimTemplatesHashKey holds the same where Keelson computed it. Only these are compared: a hash that another program left says nothing
	// about whether the templates are others.
	CloneSetComparedClaimTemplatesHashKey = "apps.kruise.io/cloneset-volumeclaimtemplate-hash"
	// SpecifiedDeleteKey is the Pod label by which a user, or another controller, asks for the deletion of that Pod.
	SpecifiedDeleteKey = "apps.kruise.io/specified-delete"
	// CloneSetScalingExcludePreparingDeleteKey is the label on a v1alpha1 CloneSet for scaleStrategy.excludePreparingDelete.
	CloneSetScalingExcludePreparingDeleteKey = "apps.kruise.io/cloneset-scaling-exclude-preparing-delete"
	// DefaultCloneSetMaxUnavailable is the part of the Pods that may be unavailable in an update when nothing is said.
	DefaultCloneSetMaxUnavailable = "20%"
)

// CloneSetUpdateStrategyType says when Pods are updated.
type CloneSetUpdateStrategyType string

const (
	// RollingUpdateCloneSetUpdateStrategyType updates Pods batch by batch.
	RollingUpdateCloneSetUpdateStrategyType CloneSetUpdateStrategyType = "RollingUpdate"
	// OnDeleteCloneSetUpdateStrategyType updates a Pod only when somebody deletes it.
	OnDeleteCloneSetUpdateStrategyType CloneSetUpdateStrategyType = "OnDelete"
)

// PodUpdatePolicyType says how a Pod is brought to a new revision.
type PodUpdatePolicyType string

const (
	// RecreatePodUpdatePolicyType deletes the Pod and creates another.
	RecreatePodUpdatePolicyType PodUpdatePolicyType = "ReCreate"
	// InPlaceIfPossiblePodUpdatePolicyType updates the Pod in place where the change allows it, else recreates it.
	InPlaceIfPossiblePodUpdatePolicyType PodUpdatePolicyType = "InPlaceIfPossible"
	// InPlaceOnlyPodUpdatePolicyType updates the Pod in place or not at all.
	InPlaceOnlyPodUpdatePolicyType PodUpdatePolicyType = "InPlaceOnly"
)

// CloneSetSpec is what the user wants of a CloneSet.
//
// +kubebuilder:validation:XValidation:rule="!has(self.selector.matchLabels) || self.selector.matchLabels.all(k, has(self.template.metadata) && has(self.template.metadata.labels) && k in self.template.metadata.labels && self.template.metadata.labels[k] == self.selector.matchLabels[k])",message="selector.matchLabels must all be in template.metadata.labels with the same values, else the Pods would not belong to the CloneSet: make them equal"
// +kubebuilder:validation:XValidation:rule="!has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, (has(self.template.metadata) && has(self.template.metadata.labels) && e.key in self.template.metadata.labels) ? (e.operator == 'Exists' || (e.operator == 'In' && has(e.values) && self.template.metadata.labels[e.key] in e.values) || (e.operator == 'NotIn' && has(e.values) && !(self.template.metadata.labels[e.key] in e.values))) : (e.operator == 'NotIn' || e.operator == 'DoesNotExist'))",message="selector.matchExpressions must all match template.metadata.labels, else the Pods would not belong to the CloneSet: make them match"
// +kubebuilder:validation:XValidation:rule="!has(self.progressDeadlineSeconds) || self.progressDeadlineSeconds == 2147483647 || self.progressDeadlineSeconds > (has(self.minReadySeconds) ? self.minReadySeconds : 0)",message="progressDeadlineSeconds must be larger than minReadySeconds, else no rollout can be in time: raise it or remove it"
// +kubebuilder:validation:XValidation:rule="!(has(self.updateStrategy) && has(self.updateStrategy.rollingUpdate)) || (has(self.updateStrategy.type) && self.updateStrategy.type == 'OnDelete') || (has(self.replicas) && self.replicas == 0) || !((has(self.updateStrategy.rollingUpdate.maxUnavailable) ? (type(self.updateStrategy.rollingUpdate.maxUnavailable) == int ? self.updateStrategy.rollingUpdate.maxUnavailable == 0 : self.updateStrategy.rollingUpdate.maxUnavailable.matches('^0+%$')) : false) && (has(self.updateStrategy.rollingUpdate.maxSurge) ? (type(self.updateStrategy.rollingUpdate.maxSurge) == int ? self.updateStrategy.rollingUpdate.maxSurge == 0 : self.updateStrategy.rollingUpdate.maxSurge.matches('^0+%$')) : true))",message="maxUnavailable and maxSurge must not both be 0, else nothing can be updated: raise one of them"
type CloneSetSpec struct {
	// Replicas is the number of Pods; nil is 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=1
	Replicas *int32 `json:"replicas,omitempty"`
	// Selector selects the Pods of this CloneSet; it must match the template's labels and cannot change.
	// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",message="selector must not be empty, else it selects every Pod: add matchLabels"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="selector cannot change, else Pods are left behind: create a CloneSet of another name instead"
	Selector *metav1.LabelSelector `json:"selector"`
	// Template describes the Pods.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:XValidation:rule="!has(self.spec) || !has(self.spec.restartPolicy) || self.spec.restartPolicy == 'Always'",message="template.spec.restartPolicy must be Always: remove the field"
	// +kubebuilder:validation:XValidation:rule="!has(self.spec) || !has(self.spec.activeDeadlineSeconds)",message="template.spec.activeDeadlineSeconds is not allowed, as the Pods run for ever: remove the field"
	Template corev1.PodTemplateSpec `json:"template"`
	// VolumeClaimTemplates describe the PVCs that each Pod gets, 256 at most.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates,omitempty"`
	// ScaleStrategy says how Pods are added and removed.
	// +optional
	// +kubebuilder:default={}
	ScaleStrategy CloneSetScaleStrategy `json:"scaleStrategy,omitempty"`
	// UpdateStrategy says how Pods are updated. Without it, the API server writes out the defaults of a rolling update.
	// +optional
	// +kubebuilder:default={type: RollingUpdate, rollingUpdate: {}}
	UpdateStrategy CloneSetUpdateStrategy `json:"updateStrategy,omitempty,omitzero"`
	// RevisionHistoryLimit is how many unused revisions are kept; nil is 10.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=10
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
	// MinReadySeconds is how long a Pod must be ready, in seconds, before it counts as available.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinReadySeconds int32 `json:"minReadySeconds,omitempty"`
	// Lifecycle holds the hooks of the Pods.
	// +optional
	Lifecycle *pub.Lifecycle `json:"lifecycle,omitempty"`
	// ProgressDeadlineSeconds is how long a rollout may go without progress, in seconds, before it counts as failed; nil never.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`
	// Undecoded says what of a stored spec could not be decoded; empty when all could. The templates are empty then, and such a spec cannot be encoded.
	Undecoded string `json:"-"`
}

// CloneSetScaleStrategy says how Pods are added and removed.
type CloneSetScaleStrategy struct {
	// PodsToDelete names Pods to delete: instead of others when there are too many, else to be replaced. The list is yours, and is not trimmed: a name whose Pod is
	// gone means nothing, no new Pod gets it, and it may be taken out at any time.
	// +optional
	// +listType=set
	PodsToDelete []string `json:"podsToDelete,omitempty"`
	// MaxUnavailable limits how many Pods are created while others are unavailable; nil is no limit.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 2147483647 : self.matches('^[0-9]{1,9}%$')",message="scaleStrategy.maxUnavailable must be a number of Pods, 0 to 2147483647, or a percentage with its sign: write 5 or 25%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// EnablePVCReuse lets a new Pod take over the PVCs of a deleted one.
	// +optional
	// +kubebuilder:default=false
	EnablePVCReuse bool `json:"enablePVCReuse,omitempty"`
	// ExcludePreparingDelete leaves Pods in PreparingDelete out of the count of replicas.
	// +optional
	ExcludePreparingDelete bool `json:"excludePreparingDelete,omitempty"`
}

// CloneSetUpdateStrategy says how Pods are updated.
type CloneSetUpdateStrategy struct {
	// Type is RollingUpdate (the default) or OnDelete.
	// +optional
	// +kubebuilder:validation:Enum=RollingUpdate;OnDelete;""
	// +kubebuilder:default=RollingUpdate
	Type CloneSetUpdateStrategyType `json:"type,omitempty"`
	// RollingUpdate holds the settings of a rolling update.
	// +optional
	RollingUpdate *RollingUpdateCloneSetStrategy `json:"rollingUpdate,omitempty"`
}

// RollingUpdateCloneSetStrategy holds the settings of a rolling update.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.podUpdatePolicy) && self.podUpdatePolicy == 'InPlaceOnly' && has(self.maxSurge)) || (type(self.maxSurge) == int ? self.maxSurge == 0 : self.maxSurge.matches('^0+%$'))",message="maxSurge must be 0 with InPlaceOnly, which creates no Pods: remove maxSurge or use InPlaceIfPossible"
type RollingUpdateCloneSetStrategy struct {
	// Partition is how many Pods, or what part of them (rounded up), stay at the old revision; nil is 0.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 2147483647 : self.matches('^[0-9]{1,9}(\\\\.[0-9]{1,4})?%$')",message="partition must be a number of Pods, 0 to 2147483647, or a percentage with its sign: write 5 or 25%"
	// +kubebuilder:default=0
	Partition *intstr.IntOrString `json:"partition,omitempty"`
	// MaxUnavailable is how many Pods, or what part of them, may be unavailable; nil is 20%. A part is rounded up, or down
	// when maxSurge is set.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 2147483647 : self.matches('^[0-9]{1,9}%$')",message="maxUnavailable must be a number of Pods, 0 to 2147483647, or a percentage with its sign: write 5 or 25%"
	// +kubebuilder:default="20%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// MaxSurge is how many Pods, or what part of them (rounded up), may exist beyond replicas; nil is 0.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 2147483647 : self.matches('^[0-9]{1,9}%$')",message="maxSurge must be a number of Pods, 0 to 2147483647, or a percentage with its sign: write 5 or 25%"
	// +kubebuilder:default=0
	MaxSurge *intstr.IntOrString `json:"maxSurge,omitempty"`
	// PodUpdatePolicy says how a Pod is brought to the new revision; empty is ReCreate.
	// +optional
	// +kubebuilder:validation:Enum=ReCreate;InPlaceIfPossible;InPlaceOnly;""
	// +kubebuilder:default=ReCreate
	PodUpdatePolicy PodUpdatePolicyType `json:"podUpdatePolicy,omitempty"`
	// Paused stops updates; scaling goes on.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// PriorityStrategy orders the update by priority.
	// +optional
	PriorityStrategy *pub.UpdatePriorityStrategy `json:"priorityStrategy,omitempty"`
	// ScatterStrategy spreads Pods with a label over the update.
	// +optional
	ScatterStrategy pub.UpdateScatterStrategy `json:"scatterStrategy,omitempty"`
	// InPlaceUpdateStrategy says how a Pod is updated in place.
	// +optional
	InPlaceUpdateStrategy *pub.InPlaceUpdateStrategy `json:"inPlaceUpdateStrategy,omitempty"`
}

// CloneSetStatus is what was last seen of a CloneSet.
type CloneSetStatus struct {
	// ObservedGeneration is the generation that this status speaks of; -1 before anything was seen.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration"`
	// Replicas is the number of active Pods.
	// +kubebuilder:default=0
	Replicas int32 `json:"replicas"`
	// ReadyReplicas is the number of ready Pods.
	// +kubebuilder:default=0
	ReadyReplicas int32 `json:"readyReplicas"`
	// AvailableReplicas is the number of Pods that are ready for minReadySeconds.
	// +kubebuilder:default=0
	AvailableReplicas int32 `json:"availableReplicas"`
	// UpdatedReplicas is the number of Pods at the update revision.
	// +kubebuilder:default=0
	UpdatedReplicas int32 `json:"updatedReplicas"`
	// UpdatedReadyReplicas is the number of ready Pods at the update revision.
	// +kubebuilder:default=0
	UpdatedReadyReplicas int32 `json:"updatedReadyReplicas"`
	// UpdatedAvailableReplicas is the number of available Pods at the update revision.
	// +optional
	// +kubebuilder:default=0
	UpdatedAvailableReplicas int32 `json:"updatedAvailableReplicas"`
	// ExpectedUpdatedReplicas is the number of Pods that the partition lets be updated.
	// +optional
	// +kubebuilder:default=0
	ExpectedUpdatedReplicas int32 `json:"expectedUpdatedReplicas"`
	// UpdateRevision is the name of the revision of the current template.
	// +optional
	UpdateRevision string `json:"updateRevision,omitempty"`
	// CurrentRevision is the name of the revision that all Pods last had.
	// +optional
	CurrentRevision string `json:"currentRevision,omitempty"`
	// CollisionCount is mixed into revision names when two templates have the same hash; 0 and nil leave them as they are.
	// +optional
	// +kubebuilder:default=0
	CollisionCount *int32 `json:"collisionCount,omitempty"`
	// Conditions are what can be said of this CloneSet.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []CloneSetCondition `json:"conditions,omitempty"`
	// LabelSelector is the selector as a string, for autoscalers.
	// +optional
	LabelSelector string `json:"labelSelector,omitempty"`
}

// CloneSetConditionType names a condition of a CloneSet.
type CloneSetConditionType string

const (
	// CloneSetConditionFailedScale says that Pods could not be added or removed.
	CloneSetConditionFailedScale CloneSetConditionType = "FailedScale"
	// CloneSetConditionFailedUpdate says that Pods could not be updated.
	CloneSetConditionFailedUpdate CloneSetConditionType = "FailedUpdate"
	// CloneSetConditionProgressing says whether the rollout advances.
	CloneSetConditionProgressing CloneSetConditionType = "Progressing"
	// CloneSetConditionReady says whether all that was asked for is there, in one line for people.
	CloneSetConditionReady CloneSetConditionType = "Ready"
	// CloneSetConditionReconciling says that work is under way.
	CloneSetConditionReconciling CloneSetConditionType = "Reconciling"
	// CloneSetConditionStalled says that nothing will move until somebody acts.
	CloneSetConditionStalled CloneSetConditionType = "Stalled"
	// CloneSetConditionInPlaceUpdatable says whether the running update is done in place, and if not, why.
	CloneSetConditionInPlaceUpdatable CloneSetConditionType = "InPlaceUpdatable"
	// CloneSetConditionScaleUpLimited is True while Pods are missing that scaleStrategy.maxUnavailable does not let be created yet. Else
	// it is not there.
	CloneSetConditionScaleUpLimited CloneSetConditionType = "ScaleUpLimited"
)

const (
	// CloneSetProgressDeadlineExceeded is the Progressing reason when the deadline has passed.
	CloneSetProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	// CloneSetProgressPaused is the Progressing reason when the update is paused.
	CloneSetProgressPaused = "CloneSetPaused"
	// CloneSetProgressUpdated is the Progressing reason while Pods are being updated.
	CloneSetProgressUpdated = "CloneSetUpdated"
	// CloneSetProgressPartitionAvailable is the Progressing reason when the partition has been reached.
	CloneSetProgressPartitionAvailable = "ProgressPartitionAvailable"
	// CloneSetAvailable is the Progressing reason when the rollout is complete.
	CloneSetAvailable = "CloneSetAvailable"
)

// CloneSetCondition is one condition of a CloneSet.
type CloneSetCondition struct {
	// Type names the condition.
	Type CloneSetConditionType `json:"type"`
	// Status is True, False or Unknown.
	Status corev1.ConditionStatus `json:"status"`
	// LastUpdateTime is when the condition was last written.
	// +optional
	LastUpdateTime metav1.Time `json:"lastUpdateTime,omitempty"`
	// LastTransitionTime is when the status last changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty"`
	// Reason is one word for programs.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message is one line for people.
	// +optional
	Message string `json:"message,omitempty"`
}

// CloneSet keeps a number of equal Pods running and updates them in place.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=clonesets,singular=cloneset,shortName=clone,scope=Namespaced
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.labelSelector
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="DESIRED",type="integer",JSONPath=".spec.replicas",description="How many Pods are wanted."
// +kubebuilder:printcolumn:name="UPDATED",type="integer",JSONPath=".status.updatedReplicas",description="How many Pods have the newest revision."
// +kubebuilder:printcolumn:name="UPDATED_READY",type="integer",JSONPath=".status.updatedReadyReplicas",description="How many Pods have the newest revision and are ready."
// +kubebuilder:printcolumn:name="UPDATED_AVAILABLE",type="integer",JSONPath=".status.updatedAvailableReplicas",description="How many Pods have the newest revision and are available."
// +kubebuilder:printcolumn:name="READY",type="integer",JSONPath=".status.readyReplicas",description="How many Pods are ready."
// +kubebuilder:printcolumn:name="TOTAL",type="integer",JSONPath=".status.replicas",description="How many Pods exist."
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp",description="When the CloneSet was created."
// +kubebuilder:printcolumn:name="CONTAINERS",type="string",priority=1,JSONPath=".spec.template.spec.containers[*].name",description="The names of the containers."
// +kubebuilder:printcolumn:name="IMAGES",type="string",priority=1,JSONPath=".spec.template.spec.containers[*].image",description="The images of the containers."
// +kubebuilder:printcolumn:name="SELECTOR",type="string",priority=1,JSONPath=".status.labelSelector",description="The selector of the Pods."
type CloneSet struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user wants.
	// +required
	Spec CloneSetSpec `json:"spec"`
	// Status is what was last seen. Until something was, the default says so to whoever waits for the set.
	// +optional
	// +kubebuilder:default={observedGeneration:-1, replicas: 0, readyReplicas: 0, availableReplicas: 0, updatedReplicas: 0, updatedReadyReplicas: 0, updatedAvailableReplicas: 0, expectedUpdatedReplicas: 0, collisionCount: 0}
	Status CloneSetStatus `json:"status,omitempty"`
}

// CloneSetList is a list of CloneSets.
//
// +kubebuilder:object:root=true
type CloneSetList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []CloneSet `json:"items"`
}
