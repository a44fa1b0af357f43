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
	"github.com/keelson/keelson/controllers/plan/readiness"
)

// Patch collects what one write changes on a Pod. Its zero value changes nothing.
type Patch struct {
	labels, annotations map[string]any
	finalizers          []string
	conditions          []map[string]any
	// images and initImages are the containers that get another image.
	images, initImages []map[string]any
}

// Label sets a label.
func (p *Patch) Label(key, value string) { put(&p.labels, key, value) }

// Labels sets labels, or removes those whose value is nil.
func (p *Patch) Labels(values map[string]*string) { putAll(&p.labels, values) }

// Annotation sets an annotation.
func (p *Patch) Annotation(key, value string) { put(&p.annotations, key, value) }

// Annotations sets annotations, or removes those whose value is nil.
func (p *Patch) Annotations(values map[string]*string) { putAll(&p.annotations, values) }

// RemoveAnnotation removes an annotation.
func (p *Patch) RemoveAnnotation(key string) { put(&p.annotations, key, nil) }

// Finalizers adds finalizers to those that the Pod has.
func (p *Patch) Finalizers(names []string) { p.finalizers = append(p.finalizers, names...) }

// State moves the Pod to a lifecycle state.
func (p *Patch) State(state pub.LifecycleStateType, now time.Time) {
	p.Label(pub.LifecycleStateKey, string(state))
	p.Annotation(pub.LifecycleTimestampKey, now.UTC().Format(time.RFC3339))
}

// Condition sets a condition of the Pod's status.
func (p *Patch) Condition(c corev1.PodCondition) {
	entry := map[string]any{
		"type":               c.Type,
		"status":             c.Status,
		"lastTransitionTime": metav1.NewTime(c.LastTransitionTime.UTC()),
		"reason":             nullable(c.Reason),
		"message":            nullable(c.Message),
	}
	p.conditions = append(p.conditions, entry)
}

// Hold leads the condition KruisePodReady to another state, where it is not there yet. A Pod that nobody held before is taken out of its
// endpoints in the same write.
func (p *Patch) Hold(f *pods.Facts, to readiness.State, now time.Time) {
	c, isNeeded := f.Readiness.Change(to, now)
	if !isNeeded {
		return
	}
	p.Condition(c)
	if c.Message == "" {
		delete(p.conditions[len(p.conditions)-1], "message")
	}
	if c.Status == corev1.ConditionFalse && f.Ready {
		p.Condition(notReady(now, "the Pod is held not ready"))
	}
}

func notReady(now time.Time, message string) corev1.PodCondition {
	return corev1.PodCondition{
		Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(now), Reason: "ReadinessGatesNotReady", Message: message,
	}
}

// IsEmpty says that the patch changes nothing.
func (p *Patch) IsEmpty() bool {
	return len(p.labels)+len(p.annotations)+len(p.finalizers)+len(p.conditions)+len(p.images)+len(p.initImages) == 0
}

// Image sets the image of a container, or of a native sidecar.
func (p *Patch) Image(pod *corev1.Pod, container, image string) {
	list := &p.images
	if isInit(pod, container) {
		list = &p.initImages
	}
	*list = append(*list, map[string]any{"name": container, "image": image})
}

// remember puts the state of the update into its annotation.
func (p *Patch) remember(state *pub.InPlaceUpdateState) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encoding the state of the update: %w", err)
	}
	p.Annotation(pub.InPlaceUpdateStateKey, string(raw))
	return nil
}

// resizeSubresource is where resources are asked for.
const resizeSubresource = "resize"

// resize asks for resources, by the name of the container.
func resize(wanted map[string]corev1.ResourceRequirements) plan.Change {
	var containers []map[string]any
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		containers = append(containers, map[string]any{"name": name, "resources": wanted[name]})
	}
	return plan.Change{Subresource: resizeSubresource, Patch: encoded(map[string]any{"spec": map[string]any{"containers": containers}})}
}

// Change encodes the patch. One with conditions goes to the status subresource, which may write metadata too, but no images.
func (p *Patch) Change() plan.Change {
	body := map[string]any{}
	metadata := map[string]any{}
	if len(p.labels) > 0 {
		metadata["labels"] = p.labels
	}
	if len(p.annotations) > 0 {
		metadata["annotations"] = p.annotations
	}
	if len(p.finalizers) > 0 {
		metadata["finalizers"] = p.finalizers
	}
	if len(metadata) > 0 {
		body["metadata"] = metadata
	}
	change := plan.Change{}
	spec := map[string]any{}
	if len(p.images) > 0 {
		spec["containers"] = p.images
	}
	if len(p.initImages) > 0 {
		spec["initContainers"] = p.initImages
	}
	if len(spec) > 0 {
		body["spec"] = spec
	} else if len(p.conditions) > 0 {
		body["status"] = map[string]any{"conditions": p.conditions}
		change.Subresource = "status"
	}
	change.Patch = encoded(body)
	return change
}

func encoded(body map[string]any) []byte {
	raw, err := json.Marshal(body)
	if err != nil {
		// NOTE: maps of strings, times and quantities always encode.
		panic(err)
	}
	return raw
}

func put(target *map[string]any, key string, value any) {
	if *target == nil {
		*target = map[string]any{}
	}
	(*target)[key] = value
}

func putAll(target *map[string]any, values map[string]*string) {
	for key, value := range values {
		if value == nil {
			put(target, key, nil)
		} else {
			put(target, key, *value)
		}
	}
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
