// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/lifecycle"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
)

// StepKind is what an update in place does next on a Pod.
type StepKind string

const (
	// Idle says that no update is under way.
	Idle StepKind = "Idle"
	// Wait says that something has to happen first: a time, the kubelet, or the node agent.
	Wait StepKind = "Wait"
	// Apply writes what is next: the update that was held back for its grace period, or the next batch of containers.
	Apply StepKind = "Apply"
	// Ask writes resources that are still to be asked for: the writer died before, or was refused. An update that is due goes before it: it may
	// ask for others, and nothing would come of it if those that are refused were asked for again and again.
	Ask StepKind = "Ask"
	// Finish makes the Pod ready again.
	Finish StepKind = "Finish"
)

// Step is the next thing to do on a Pod.
type Step struct {
	Kind StepKind
	// After is how long to wait; zero waits for an event of the Pod.
	After time.Duration
	// Message says what is waited for.
	Message string
	// changes are what Apply and Ask write.
	changes []plan.Change
}

// Next says what the update of a Pod does next. It is derived from the Pod alone, so it goes on wherever another writer, or this program
// before it died, left the Pod.
func Next(f *pods.Facts, now time.Time) Step {
	if f.Grace != "" {
		return nextHeld(f, now)
	}
	if !isUnderWay(f) {
		return Step{Kind: Idle}
	}
	if f.InPlace == nil {
		return Step{Kind: Finish}
	}
	if left := unwritten(f.Pod, f.InPlace.ContainerResources); len(left) > 0 {
		return Step{Kind: Ask, changes: []plan.Change{resize(left)}, Message: "asking for the resources of the update"}
	}
	if v := Complete(f); !v.OK {
		return Step{Kind: Wait, Message: v.Message}
	}
	return nextBatch(f, now)
}

// isUnderWay says that the Pod is in state Updating; or that it is drained with an unfinished update on it, as Pods without a state were left
// by older writers.
func isUnderWay(f *pods.Facts) bool {
	if f.State == pub.LifecycleStateUpdating {
		return true
	}
	return f.State == "" && f.InPlaceReady == corev1.ConditionFalse && f.InPlace != nil && revision.Matches(f.Revision, f.InPlace.Revision)
}

// nextBatch changes the containers that come after those that have followed, once these are ready; after the last batch the update is done.
func nextBatch(f *pods.Facts, now time.Time) Step {
	spec := laterOf(f.InPlace)
	later := spec.Containers()
	if len(later) == 0 {
		return Step{Kind: Finish}
	}
	if check := f.InPlace.PreCheckBeforeNext; check != nil {
		for _, name := range check.ContainersRequiredReady {
			status := containerStatus(f.Pod, name)
			if container(f.Pod, name) != nil && (status == nil || !status.Ready) {
				return Step{Kind: Wait, Message: fmt.Sprintf("container %s is not ready, and %s comes after it", name, strings.Join(later, ", "))}
			}
		}
	}
	state := *f.InPlace
	changes, err := stage(f, &Patch{}, &state, spec, now)
	if err != nil {
		return Step{Kind: Wait, Message: err.Error()}
	}
	if drain, needed := drained(f, now); needed && spec.restarts(f.Pod) {
		changes = append([]plan.Change{drain.Change()}, changes...)
	}
	return Step{Kind: Apply, changes: changes, Message: "the next batch of containers"}
}

// IsLost reports whether an update was held back that cannot be gone on with: what it was to do cannot be read, or the state that goes with it is not there.
func IsLost(f *pods.Facts) bool {
	return f.Grace != "" && (f.InPlace == nil || json.Unmarshal([]byte(f.Grace), &held{}) != nil)
}

func nextHeld(f *pods.Facts, now time.Time) Step {
	var h held
	p := &Patch{}
	p.RemoveAnnotation(pub.InPlaceUpdateGraceKey)
	if _, old := f.Pod.Annotations[pub.InPlaceUpdateGraceKeyOld]; old {
		p.RemoveAnnotation(pub.InPlaceUpdateGraceKeyOld)
	}
	// An update that is not for the revision on the Pod has been overtaken. One that is lost is restored by whoever has the template.
	if err := json.Unmarshal([]byte(f.Grace), &h); err != nil || f.InPlace == nil || !revision.Matches(f.Revision, h.Revision) {
		return Step{Kind: Apply, changes: []plan.Change{p.Change()}, Message: "dropping an update that was overtaken"}
	}
	if left := f.InPlace.UpdateTimestamp.Add(time.Duration(h.GraceSeconds) * time.Second).Sub(now); left > 0 {
		return Step{Kind: Wait, After: left, Message: "grace period before the containers restart"}
	}
	spec := Spec{Images: h.ContainerImages, Resources: h.ContainerResources, RefMetadata: h.ContainerRefMetadata}
	var meta metadataPatch
	if len(h.MetadataPatch) > 0 && json.Unmarshal(h.MetadataPatch, &meta) == nil {
		spec.Labels, spec.Annotations = meta.Metadata.Labels, meta.Metadata.Annotations
	}
	state := *f.InPlace
	changes, err := stage(f, p, &state, spec, now)
	if err != nil {
		return Step{Kind: Wait, Message: err.Error()}
	}
	return Step{Kind: Apply, changes: changes, Message: "the grace period is over"}
}

// Restore adds to a patch what brings a Pod to the template of its revision, when the annotation that held the update back cannot be read any more,
// and returns all changes that are to be made. It fails only when the state cannot be encoded.
func Restore(f *pods.Facts, template *corev1.PodTemplateSpec, o Options, p *Patch, now time.Time) ([]plan.Change, error) {
	spec := lackingOf(f.Pod, template, o)
	state := pub.InPlaceUpdateState{Revision: f.Revision, UpdateTimestamp: stamp(now)}
	if f.InPlace != nil {
		state = *f.InPlace
	}
	if len(spec.Containers()) == 0 {
		p.Labels(spec.Labels)
		p.Annotations(spec.Annotations)
		return []plan.Change{p.Change()}, nil
	}
	state.UpdateImages = state.UpdateImages || len(spec.Images) > 0
	state.UpdateEnvFromMetadata = state.UpdateEnvFromMetadata || len(spec.RefMetadata) > 0
	state.UpdateResources = state.UpdateResources || len(spec.Resources) > 0
	return stage(f, p, &state, spec, now)
}

// lackingOf is what a Pod lacks of a template, as far as it can be changed on a running Pod.
func lackingOf(pod *corev1.Pod, template *corev1.PodTemplateSpec, o Options) Spec {
	spec := Spec{
		Images: map[string]string{}, Labels: withoutMarks(lacking(pod.Labels, template.Labels)),
		Annotations: lacking(pod.Annotations, pods.WithoutTracking(template.Annotations)),
	}
	for _, wanted := range LongRunning(&template.Spec) {
		c := container(pod, wanted.Name)
		if c == nil {
			continue
		}
		if c.Image != wanted.Image {
			spec.Images[c.Name] = wanted.Image
		}
		if change := resourceChange(c.Resources, wanted.Resources); o.VerticalScaling && !isNothing(change) && !isInit(pod, c.Name) {
			spec.Resources = merged(spec.Resources, map[string]corev1.ResourceRequirements{c.Name: change})
		}
	}
	if o.EnvFromMetadata {
		// NOTE: with this option the verdict is always positive.
		_ = spec.refer(&pod.Spec, o)
	}
	return spec
}

// lacking are the wanted values that are not there.
func lacking(actual, wanted map[string]string) map[string]*string {
	diff := map[string]*string{}
	for key, value := range wanted {
		if was, found := actual[key]; !found || was != value {
			diff[key] = &value
		}
	}
	return diff
}

// Write is the change that a step makes; a step that waits makes none. after is the state of a Pod whose update is complete.
func (s Step) Write(f *pods.Facts, after pub.LifecycleStateType, now time.Time) []plan.Change {
	switch s.Kind {
	case Apply, Ask:
		return s.changes
	case Finish:
		p := &Patch{}
		p.State(after, now)
		p.Ready(f, now)
		p.Hold(f, lifecycle.Released(f.Readiness), now)
		return []plan.Change{p.Change()}
	default:
		return nil
	}
}

// Ready makes the condition InPlaceUpdateReady True, where the Pod has the gate and is not ready yet.
func (p *Patch) Ready(f *pods.Facts, now time.Time) {
	if f.HasInPlaceGate && f.InPlaceReady != corev1.ConditionTrue {
		p.Condition(corev1.PodCondition{Type: pub.InPlaceUpdateReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now)})
	}
}
