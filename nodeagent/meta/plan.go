// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package meta reports what the container runtime runs for the Pods of our workloads, in the annotation apps.kruise.io/runtime-containers-meta. From it the
// controllers see that a container was started from a Pod's newest specification, where image IDs alone do not tell, and with the environment that the Pod's
// labels and annotations give it. While an update in place changes those, it restarts the containers whose environment is another: a kubelet restarts
// none for its metadata.
//
//	Pod event ─► runtime: containers of the Pod ─► Plan ─► patch of pods/status, when the annotation says something else
//	                      and their environments        └► stop, when the environment is out of date; the kubelet starts the container again
package meta

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/pods"
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
	// Outdated are the running containers that are to be stopped, so that they start with the environment that the Pod gives them now.
	Outdated []Outdated

	// containers is what Value says.
	containers []pub.RuntimeContainerMeta
}

// hookWasStarted says that the preStop hook of a container was started already, by this agent or one before it.
func (r Report) hookWasStarted(c Outdated) bool {
	return slices.ContainsFunc(r.containers, func(m pub.RuntimeContainerMeta) bool { return isOf(m, c) && m.PreStopHookStarted })
}

// withHookStarted is the annotation that says so.
func (r Report) withHookStarted(c Outdated) (string, error) {
	all := slices.Clone(r.containers)
	for i := range all {
		all[i].PreStopHookStarted = all[i].PreStopHookStarted || isOf(all[i], c)
	}
	return encode(all)
}

func isOf(m pub.RuntimeContainerMeta, c Outdated) bool {
	return m.Name == c.Name && strings.HasSuffix(m.ContainerID, "://"+c.ID)
}

func encode(all []pub.RuntimeContainerMeta) (string, error) {
	raw, err := json.Marshal(pub.RuntimeContainerMetaSet{Containers: all})
	if err != nil {
		return "", fmt.Errorf("encoding the report: %w", err)
	}
	return string(raw), nil
}

// Outdated is a running container whose environment is not what the Pod gives it.
type Outdated struct {
	// Name is the container's name in the Pod, ID the runtime's.
	Name, ID string
}

// Environments are what containers were started with, by their ID. One that is not in it is not known.
type Environments map[string]map[string]string

// Plan compares what the runtime runs with what the Pod's annotation says. It waits, and writes nothing, while the runtime knows no container.
func Plan(pod *corev1.Pod, runtimeName string, running []cri.Container, environments Environments) (Report, error) {
	var report Report
	var now pub.RuntimeContainerMetaSet
	text, found := pod.Annotations[pub.RuntimeContainerMetaKey]
	if err := json.Unmarshal([]byte(text), &now); found && err != nil {
		// What could be read before the mistake is not to be trusted.
		report.Broken, now = err.Error(), pub.RuntimeContainerMetaSet{}
	}
	var wanted pub.RuntimeContainerMetaSet
	for _, spec := range inplace.LongRunning(&pod.Spec) {
		c := current(running, spec.Name)
		if c == nil {
			continue
		}
		m := describe(c, runtimeName, now.Containers)
		if environment := environments[c.ID]; environment != nil {
			m.Hashes.ExtractedEnvFromMetadataHash = inplace.ActualEnvHash(spec, environment)
			report.Outdated = append(report.Outdated, outdated(pod, spec, c, m.Hashes.ExtractedEnvFromMetadataHash)...)
		}
		wanted.Containers = append(wanted.Containers, m)
	}
	if len(wanted.Containers) == 0 {
		return Report{}, nil
	}
	value, err := encode(wanted.Containers)
	if err != nil {
		return Report{}, err
	}
	report.Value, report.containers = value, wanted.Containers
	report.Write = !found || report.Broken != "" || !equality.Semantic.DeepEqual(now, wanted)
	return report, nil
}

// outdated is a container that runs with another environment than the Pod gives it, while an update of that is under way; or nothing.
func outdated(pod *corev1.Pod, spec *corev1.Container, c *cri.Container, hash uint64) []Outdated {
	if !c.Running || hash == inplace.ExpectedEnvHash(spec, pod.Labels, pod.Annotations) || !inplace.EnvIsDue(pods.Read(pod)) {
		return nil
	}
	return []Outdated{{Name: c.Name, ID: c.ID}}
}

// describe says what is reported of a container. A hash of its environment that was reported before stays, as the environment of a container does not change;
// and so does that its hook was started.
func describe(c *cri.Container, runtimeName string, before []pub.RuntimeContainerMeta) pub.RuntimeContainerMeta {
	m := pub.RuntimeContainerMeta{
		Name: c.Name, ContainerID: runtimeName + "://" + c.ID, RestartCount: c.RestartCount, Hashes: pub.RuntimeContainerHashes{PlainHash: c.SpecHash},
	}
	for i := range before {
		if before[i].ContainerID == m.ContainerID {
			m.Hashes.ExtractedEnvFromMetadataHash = before[i].Hashes.ExtractedEnvFromMetadataHash
			m.PreStopHookStarted = before[i].PreStopHookStarted
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
