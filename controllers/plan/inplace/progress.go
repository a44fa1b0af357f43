// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
)

// StepKind is what an update in place does next on a Pod.
type StepKind string

const (
	// Idle says that no update is under way.
	Idle StepKind = "Idle"
	// Wait says that something has to happen first: a time, or the kubelet.
	Wait StepKind = "Wait"
	// Apply writes the update that was held back for its grace period.
	Apply StepKind = "Apply"
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
	// apply is what Apply writes.
	apply *Patch
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
	if f.InPlace != nil {
		if v := Complete(f); !v.OK {
			return Step{Kind: Wait, Message: v.Message}
		}
	}
	return Step{Kind: Finish}
}

// isUnderWay says that the Pod is in state Updating; or that it is drained with an unfinished update on it, as Pods without a state were left
// by older writers.
func isUnderWay(f *pods.Facts) bool {
	if f.State == pub.LifecycleStateUpdating {
		return true
	}
	return f.State == "" && f.InPlaceReady == corev1.ConditionFalse && f.InPlace != nil && revision.Matches(f.Revision, f.InPlace.Revision)
}

func nextHeld(f *pods.Facts, now time.Time) Step {
	var h held
	p := &Patch{}
	p.RemoveAnnotation(pub.InPlaceUpdateGraceKey)
	if _, old := f.Pod.Annotations[pub.InPlaceUpdateGraceKeyOld]; old {
		p.RemoveAnnotation(pub.InPlaceUpdateGraceKeyOld)
	}
	// An update that is not for the revision on the Pod has been overtaken, and one that cannot be read is lost: the next plan starts over.
	if err := json.Unmarshal([]byte(f.Grace), &h); err != nil || f.InPlace == nil || !revision.Matches(f.Revision, h.Revision) {
		return Step{Kind: Apply, apply: p, Message: "dropping an update that was overtaken"}
	}
	if left := f.InPlace.UpdateTimestamp.Add(time.Duration(h.GraceSeconds) * time.Second).Sub(now); left > 0 {
		return Step{Kind: Wait, After: left, Message: "grace period before the images change"}
	}
	var meta metadataPatch
	if len(h.MetadataPatch) > 0 && json.Unmarshal(h.MetadataPatch, &meta) == nil {
		p.Labels(meta.Metadata.Labels)
		p.Annotations(meta.Metadata.Annotations)
	}
	spec := Spec{Images: h.ContainerImages}
	for _, name := range spec.Containers() {
		p.Image(name, h.ContainerImages[name])
	}
	p.Remember(f, spec)
	return Step{Kind: Apply, apply: p, Message: "the grace period is over"}
}

// Remember notes from what the containers that are about to change come, as of now: one that has started for the first time since the update began has
// not followed by that.
func (p *Patch) Remember(f *pods.Facts, spec Spec) {
	if f.InPlace == nil {
		return
	}
	state := *f.InPlace
	state.LastContainerStatuses = joined(state.LastContainerStatuses, lastStatuses(f, spec))
	raw, err := json.Marshal(state)
	if err != nil {
		// NOTE: what was just decoded encodes.
		panic(err)
	}
	p.Annotation(pub.InPlaceUpdateStateKey, string(raw))
}

// Write is the change that a step makes; a step that waits makes none. after is the state of a Pod whose update is complete.
func (s Step) Write(f *pods.Facts, after pub.LifecycleStateType, now time.Time) []plan.Change {
	switch s.Kind {
	case Apply:
		return []plan.Change{s.apply.Change()}
	case Finish:
		p := &Patch{}
		p.State(after, now)
		p.Ready(f, now)
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
