// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// ReasonStarted is the reason of the condition InPlaceUpdateReady while an update runs.
// COMPAT: published.
const ReasonStarted = "StartInPlaceUpdate"

// Target is where an update in place leads a Pod.
type Target struct {
	// Revision is the name of the revision.
	Revision string
	// Labels mark the Pod as being at the revision.
	Labels map[string]string
	// Spec is what changes.
	Spec Spec
	// GraceSeconds is how long the Pod stays drained before its images change.
	GraceSeconds int32
	// After is the state of the Pod when the change restarts no container, and so ends with the write that begins it.
	After pub.LifecycleStateType
}

// held is the annotation of an update that waits for its grace period.
// COMPAT: the names and the encoding of the metadata patch (base64 of JSON) are published.
type held struct {
	Revision        string            `json:"revision"`
	ContainerImages map[string]string `json:"containerImages,omitempty"`
	MetadataPatch   []byte            `json:"metaDataPatch,omitempty"`
	GraceSeconds    int32             `json:"graceSeconds,omitempty"`
}

// metadataPatch is what MetadataPatch decodes to.
type metadataPatch struct {
	Metadata struct {
		Labels      map[string]*string `json:"labels,omitempty"`
		Annotations map[string]*string `json:"annotations,omitempty"`
	} `json:"metadata"`
}

// Begin writes the start of an update in place. It fails only when the state cannot be encoded. An update that is still running is overtaken:
// the new one also waits for the containers that the old one restarts.
//
//	r1 -> r2 changes main and sidecar; before they restart, r3 changes main alone => complete when main and sidecar have restarted
func Begin(f *pods.Facts, t Target, now time.Time) ([]plan.Change, error) {
	left := unfinished(f)
	mark, err := marked(f, t, left, now)
	if err != nil {
		return nil, err
	}
	if !t.Spec.RestartsContainers() {
		mark.Labels(t.Spec.Labels)
		mark.Annotations(t.Spec.Annotations)
		if len(left) == 0 {
			mark.State(t.After, now)
		}
		return []plan.Change{mark.Change()}, nil
	}
	mark.State(pub.LifecycleStateUpdating, now)
	if t.GraceSeconds > 0 {
		return holdBack(f, t, mark, now)
	}
	mark.Labels(t.Spec.Labels)
	mark.Annotations(t.Spec.Annotations)
	for _, name := range t.Spec.Containers() {
		mark.Image(name, t.Spec.Images[name])
	}
	if drain, needed := drained(f, now); needed {
		return []plan.Change{drain.Change(), mark.Change()}, nil
	}
	return []plan.Change{mark.Change()}, nil
}

// holdBack drains the Pod and notes the update on it, in one write to its status; the images follow after the grace period.
func holdBack(f *pods.Facts, t Target, mark *Patch, now time.Time) ([]plan.Change, error) {
	var meta metadataPatch
	meta.Metadata.Labels, meta.Metadata.Annotations = t.Spec.Labels, t.Spec.Annotations
	h := held{Revision: t.Revision, ContainerImages: t.Spec.Images, GraceSeconds: t.GraceSeconds}
	var err error
	if len(t.Spec.Labels)+len(t.Spec.Annotations) > 0 {
		if h.MetadataPatch, err = json.Marshal(meta); err != nil {
			return nil, fmt.Errorf("encoding the metadata of the update: %w", err)
		}
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the update: %w", err)
	}
	mark.Annotation(pub.InPlaceUpdateGraceKey, string(raw))
	if drain, needed := drained(f, now); needed {
		mark.conditions = drain.conditions
	}
	return []plan.Change{mark.Change()}, nil
}

// marked notes on the Pod which revision it goes to and from what its containers come, those included that are left of the update before.
func marked(f *pods.Facts, t Target, left map[string]pub.InPlaceUpdateContainerStatus, now time.Time) (*Patch, error) {
	stamp := metav1.NewTime(now.UTC().Truncate(time.Second))
	state := pub.InPlaceUpdateState{
		Revision:        t.Revision,
		UpdateTimestamp: stamp,
		UpdateImages:    t.Spec.RestartsContainers() || len(left) > 0,
	}
	state.LastContainerStatuses = left
	if t.Spec.RestartsContainers() {
		state.LastContainerStatuses = joined(left, lastStatuses(f, t.Spec))
		state.ContainerBatchesRecord = []pub.InPlaceUpdateContainerBatch{{Timestamp: stamp, Containers: t.Spec.Containers()}}
	}
	raw, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("encoding the state of the update: %w", err)
	}
	p := &Patch{}
	for key, value := range t.Labels {
		p.Label(key, value)
	}
	p.Annotation(pub.InPlaceUpdateStateKey, string(raw))
	return p, nil
}

func lastStatuses(f *pods.Facts, spec Spec) map[string]pub.InPlaceUpdateContainerStatus {
	last := make(map[string]pub.InPlaceUpdateContainerStatus, len(spec.Images))
	for name := range spec.Images {
		last[name] = pub.InPlaceUpdateContainerStatus{}
	}
	for i := range f.Pod.Status.ContainerStatuses {
		c := &f.Pod.Status.ContainerStatuses[i]
		if _, changes := spec.Images[c.Name]; changes {
			last[c.Name] = pub.InPlaceUpdateContainerStatus{ImageID: c.ImageID}
		}
	}
	return last
}

func joined(base, over map[string]pub.InPlaceUpdateContainerStatus) map[string]pub.InPlaceUpdateContainerStatus {
	out := make(map[string]pub.InPlaceUpdateContainerStatus, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}

// drained takes the Pod out of its endpoints. It is not needed for a Pod without the gate, or one that is drained already.
func drained(f *pods.Facts, now time.Time) (*Patch, bool) {
	if !f.HasInPlaceGate || f.InPlaceReady == corev1.ConditionFalse {
		return nil, false
	}
	p := &Patch{}
	p.Condition(corev1.PodCondition{
		Type: pub.InPlaceUpdateReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(now), Reason: ReasonStarted,
	})
	if f.Ready {
		p.Condition(corev1.PodCondition{
			Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(now), Reason: "ReadinessGatesNotReady",
			Message: "the Pod is about to be updated in place",
		})
	}
	return p, true
}
