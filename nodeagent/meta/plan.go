// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package meta reports what the container runtime runs for the Pods of our workloads, in the annotation apps.kruise.io/runtime-containers-meta. From it the
// controllers see that a container was started from a Pod's newest specification, where image IDs alone do not tell.
//
//	Pod event ─► runtime: containers of the Pod ─► Plan ─► patch of pods/status, when the annotation says something else
package meta

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/nodeagent/cri"
)

// sidecarSetAnnotation marks Pods into which a SidecarSet was injected.
const sidecarSetAnnotation = "kruise.io/sidecarset-hash"

// IsManaged says that a Pod belongs to one of our workloads, or has one of our sidecars.
func IsManaged(pod *corev1.Pod) bool {
	if _, found := pod.Annotations[sidecarSetAnnotation]; found {
		return true
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return false
	}
	version, err := schema.ParseGroupVersion(owner.APIVersion)
	return err == nil && version.Group == "apps.kruise.io"
}

// wantsReport says that the agent reports for a Pod: it is ours, and its containers may still change.
func wantsReport(pod *corev1.Pod) bool {
	hasEnded := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return pod.DeletionTimestamp == nil && !hasEnded && IsManaged(pod)
}

// Report is what should be in a Pod's annotation.
type Report struct {
	// Value is the annotation.
	Value string
	// Write says that the Pod has another one, or none.
	Write bool
	// Broken says why the annotation that the Pod has could not be read; empty when it could.
	Broken string
}

// Plan compares what the runtime runs with what the Pod's annotation says. It waits, and writes nothing, while the runtime knows no container.
func Plan(pod *corev1.Pod, runtimeName string, running []cri.Container) (Report, error) {
	var report Report
	var now pub.RuntimeContainerMetaSet
	text, found := pod.Annotations[pub.RuntimeContainerMetaKey]
	if err := json.Unmarshal([]byte(text), &now); found && err != nil {
		// What could be read before the mistake is not to be trusted.
		report.Broken, now = err.Error(), pub.RuntimeContainerMetaSet{}
	}
	var wanted pub.RuntimeContainerMetaSet
	for i := range pod.Spec.Containers {
		if c := current(running, pod.Spec.Containers[i].Name); c != nil {
			wanted.Containers = append(wanted.Containers, describe(c, runtimeName, now.Containers))
		}
	}
	if len(wanted.Containers) == 0 {
		return Report{}, nil
	}
	raw, err := json.Marshal(wanted)
	if err != nil {
		return Report{}, fmt.Errorf("encoding the report: %w", err)
	}
	report.Value = string(raw)
	report.Write = !found || report.Broken != "" || !equality.Semantic.DeepEqual(now, wanted)
	return report, nil
}

// describe says what is reported of a container. A hash of its environment that was reported before stays: the environment of a container does not change.
func describe(c *cri.Container, runtimeName string, before []pub.RuntimeContainerMeta) pub.RuntimeContainerMeta {
	m := pub.RuntimeContainerMeta{
		Name: c.Name, ContainerID: runtimeName + "://" + c.ID, RestartCount: c.RestartCount, Hashes: pub.RuntimeContainerHashes{PlainHash: c.SpecHash},
	}
	for i := range before {
		if before[i].ContainerID == m.ContainerID {
			m.Hashes.ExtractedEnvFromMetadataHash = before[i].Hashes.ExtractedEnvFromMetadataHash
		}
	}
	return m
}

// current is the newest container of a name.
func current(all []cri.Container, name string) *cri.Container {
	mine := slices.DeleteFunc(slices.Clone(all), func(c cri.Container) bool { return c.Name != name })
	if len(mine) == 0 {
		return nil
	}
	newest := slices.MaxFunc(mine, func(a, b cri.Container) int { return cmp.Compare(a.Created.UnixNano(), b.Created.UnixNano()) })
	return &newest
}
