// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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
	// GraceSeconds is how long the Pod stays drained before its containers restart.
	GraceSeconds int32
	// After is the state of the Pod when the change touches no container, and so ends with the write that begins it.
	After pub.LifecycleStateType
}

// held is the annotation of an update that waits for its grace period.
// COMPAT: the names and the encoding of the metadata patch (base64 of JSON) are published.
type held struct {
	Revision              string                                 `json:"revision"`
	ContainerImages       map[string]string                      `json:"containerImages,omitempty"`
	ContainerRefMetadata  map[string]metav1.ObjectMeta           `json:"containerRefMetadata,omitempty"`
	ContainerResources    map[string]corev1.ResourceRequirements `json:"containerResources,omitempty"`
	MetadataPatch         []byte                                 `json:"metaDataPatch,omitempty"`
	UpdateEnvFromMetadata bool                                   `json:"updateEnvFromMetadata,omitempty"`
	GraceSeconds          int32                                  `json:"graceSeconds,omitempty"`
}

// metadataPatch is what MetadataPatch decodes to.
type metadataPatch struct {
	Metadata struct {
		Labels      map[string]*string `json:"labels,omitempty"`
		Annotations map[string]*string `json:"annotations,omitempty"`
	} `json:"metadata"`
}

// Begin writes the start of an update in place: it drains the Pod where containers restart, and changes the first batch of them. It fails only when
// the state cannot be encoded. An update that is still running is overtaken: the new one also waits for the containers that the old one changed, and
// makes what that left for later batches.
//
//	r1 -> r2 changes main and sidecar; before they restart, r3 changes main alone => complete when main and sidecar have restarted
func Begin(f *pods.Facts, t Target, now time.Time) ([]plan.Change, error) {
	debt := unpaid(f)
	spec := t.Spec.over(debt.later).beyond(f.Pod)
	// What the new update changes once more may come in a later batch; the first must not wait for what was wanted before.
	debt.resources = without(debt.resources, spec.Resources)
	state := &pub.InPlaceUpdateState{
		Revision: t.Revision, UpdateTimestamp: stamp(now), LastContainerStatuses: debt.images, ContainerResources: debt.resources,
		UpdateImages:          len(spec.Images)+len(debt.images) > 0,
		UpdateEnvFromMetadata: len(spec.RefMetadata)+len(spec.losing(f.Pod)) > 0 || debt.env,
		UpdateResources:       len(spec.Resources)+len(debt.resources) > 0,
	}
	mark := &Patch{}
	for key, value := range t.Labels {
		mark.Label(key, value)
	}
	if !state.UpdateImages && !state.UpdateEnvFromMetadata && !state.UpdateResources {
		mark.State(t.After, now)
		return stage(f, mark, state, spec, now)
	}
	mark.State(pub.LifecycleStateUpdating, now)
	restarts := spec.restarts(f.Pod)
	if restarts && t.GraceSeconds > 0 {
		return holdBack(f, mark, state, spec, t.GraceSeconds)
	}
	changes, err := stage(f, mark, state, spec, now)
	if drain, needed := drained(f, now); needed && restarts && err == nil {
		changes = append([]plan.Change{drain.Change()}, changes...)
	}
	return changes, err
}

// stamp is the time as it is kept on Pods.
func stamp(now time.Time) metav1.Time { return metav1.NewTime(now.UTC().Truncate(time.Second)) }

// stage writes the next batch, with the state that remembers it. Resources follow in a write of their own: they go to another subresource.
func stage(f *pods.Facts, mark *Patch, state *pub.InPlaceUpdateState, spec Spec, now time.Time) ([]plan.Change, error) {
	order := priorities(f.Pod)
	var before []string
	if len(order) > 0 {
		changing := spec.Containers()
		before = slices.DeleteFunc(busy(f, state), func(name string) bool { return slices.Contains(changing, name) })
	}
	first, rest, names := spec.split(f.Pod, order, before)
	mark.Labels(first.Labels)
	mark.Annotations(first.Annotations)
	for _, meta := range first.RefMetadata {
		for key, value := range meta.Labels {
			mark.Label(key, value)
		}
		for key, value := range meta.Annotations {
			mark.Annotation(key, value)
		}
	}
	for _, name := range first.Containers() {
		if image, changes := first.Images[name]; changes {
			mark.Image(f.Pod, name, image)
		}
	}
	state.LastContainerStatuses = merged(state.LastContainerStatuses, lastStatuses(f, first.Images))
	state.ContainerResources = merged(state.ContainerResources, first.Resources)
	state.NextContainerImages, state.NextContainerRefMetadata, state.NextContainerResources = rest.Images, rest.RefMetadata, rest.Resources
	state.PreCheckBeforeNext = nil
	if len(rest.Containers()) > 0 {
		state.PreCheckBeforeNext = &pub.InPlaceUpdatePreCheckBeforeNext{ContainersRequiredReady: union(names, before)}
	}
	// COMPAT: a change of metadata alone is recorded, too, as a batch of no container.
	batch := pub.InPlaceUpdateContainerBatch{Timestamp: stamp(now), Containers: append([]string{}, names...)}
	state.ContainerBatchesRecord = append(state.ContainerBatchesRecord[:len(state.ContainerBatchesRecord):len(state.ContainerBatchesRecord)], batch)
	if err := mark.remember(state); err != nil {
		return nil, err
	}
	changes := []plan.Change{mark.Change()}
	if left := unwritten(f.Pod, state.ContainerResources); len(left) > 0 {
		changes = append(changes, resize(left))
	}
	return changes, nil
}

// holdBack drains the Pod and notes the update on it, in one write to its status; the containers follow after the grace period.
func holdBack(f *pods.Facts, mark *Patch, state *pub.InPlaceUpdateState, spec Spec, graceSeconds int32) ([]plan.Change, error) {
	h := held{
		Revision: state.Revision, GraceSeconds: graceSeconds, UpdateEnvFromMetadata: state.UpdateEnvFromMetadata,
		ContainerImages: spec.Images, ContainerRefMetadata: spec.RefMetadata, ContainerResources: spec.Resources,
	}
	var err error
	if len(spec.Labels)+len(spec.Annotations) > 0 {
		var meta metadataPatch
		meta.Metadata.Labels, meta.Metadata.Annotations = spec.Labels, spec.Annotations
		if h.MetadataPatch, err = json.Marshal(meta); err != nil {
			return nil, fmt.Errorf("encoding the metadata of the update: %w", err)
		}
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the update: %w", err)
	}
	mark.Annotation(pub.InPlaceUpdateGraceKey, string(raw))
	if err := mark.remember(state); err != nil {
		return nil, err
	}
	if drain, needed := drained(f, state.UpdateTimestamp.Time); needed {
		mark.conditions = drain.conditions
	}
	return []plan.Change{mark.Change()}, nil
}

// debt is what a running update has not done yet; who overtakes it takes it over.
type debt struct {
	// images are the containers that have another image and do not run it yet, with what they come from.
	images map[string]pub.InPlaceUpdateContainerStatus
	// resources are those that the Pod asks for and that are not in effect.
	resources map[string]corev1.ResourceRequirements
	// env says that a container does not have the environment yet that the metadata gives it.
	env bool
	// later is what was to be written still.
	later Spec
}

func unpaid(f *pods.Facts) debt {
	if f.InPlace == nil || !isUnderWay(f) {
		return debt{}
	}
	reports := readReports(f.Pod)
	d := debt{images: maps.Clone(f.InPlace.LastContainerStatuses), later: laterOf(f.InPlace), env: !envFollowed(f, reports).OK}
	maps.DeleteFunc(d.images, func(name string, _ pub.InPlaceUpdateContainerStatus) bool { return followed(f, name, reports).OK })
	unwritten := unwritten(f.Pod, f.InPlace.ContainerResources)
	d.later.Resources = overlaidAll(d.later.Resources, unwritten)
	d.resources = without(f.InPlace.ContainerResources, unwritten)
	maps.DeleteFunc(d.resources, func(name string, wanted corev1.ResourceRequirements) bool { return resized(f, name, wanted).OK })
	return d
}

// laterOf is what the batches to come change.
func laterOf(state *pub.InPlaceUpdateState) Spec {
	return Spec{Images: state.NextContainerImages, Resources: state.NextContainerResources, RefMetadata: state.NextContainerRefMetadata}
}

func lastStatuses(f *pods.Facts, images map[string]string) map[string]pub.InPlaceUpdateContainerStatus {
	last := make(map[string]pub.InPlaceUpdateContainerStatus, len(images))
	for name := range images {
		var noted pub.InPlaceUpdateContainerStatus
		if status := containerStatus(f.Pod, name); status != nil {
			noted.ImageID = status.ImageID
		}
		noted.OvertakenImages = overtaken(f, name, images[name])
		last[name] = noted
	}
	return last
}

// overtaken are the images that a container may still be on its way to: those of updates before this one, unless it is seen to run the last of them.
func overtaken(f *pods.Facts, name, image string) []string {
	spec, status := container(f.Pod, name), containerStatus(f.Pod, name)
	if spec == nil {
		return nil
	}
	if status != nil && !isStopped(status) && (isSameImage(spec.Image, status.Image) || readReports(f.Pod).of(status).PlainHash == KubeletHash(spec)) {
		return nil
	}
	all := []string{spec.Image}
	if f.InPlace != nil && isUnderWay(f) {
		all = append(all, f.InPlace.LastContainerStatuses[name].OvertakenImages...)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(other string) bool { return isSameImage(other, image) })
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
		p.Condition(notReady(now, "the Pod is about to be updated in place"))
	}
	return p, true
}
