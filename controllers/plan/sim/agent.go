// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/inplace"
)

// agentSteps are what the node agent can do now about a Pod: report what its containers were started from, and restart those whose environment is out
// of date while an update is under way.
func (w *World) agentSteps(pod *corev1.Pod) []Step {
	if !w.Agents {
		return nil
	}
	var steps []Step
	for _, spec := range running(pod) {
		c := w.containerOf(pod, spec.Name)
		if c.started != "" && c.env != envOf(pod, spec) && isEnvDue(pod) {
			steps = append(steps, Step{Actor: "node agent", Verb: "stop", Pod: pod.Name, Container: spec.Name, do: func() {
				w.stopContainer(pod, spec, "node agent")
			}})
		}
	}
	if report := w.reportOf(pod); report != "" && report != pod.Annotations[pub.RuntimeContainerMetaKey] {
		steps = append(steps, Step{Actor: "node agent", Verb: "report", Pod: pod.Name, do: func() {
			w.Edit(pod.Name, func(p *corev1.Pod) {
				if p.Annotations == nil {
					p.Annotations = map[string]string{}
				}
				p.Annotations[pub.RuntimeContainerMetaKey] = report
			})
			w.tell("node agent", "reports the containers of %s", pod.Name)
		}})
	}
	return steps
}

// isEnvDue says that an update of the environment is under way, as the Pod says it.
func isEnvDue(pod *corev1.Pod) bool {
	var state pub.InPlaceUpdateState
	isUpdating := pod.Labels[pub.LifecycleStateKey] == string(pub.LifecycleStateUpdating)
	return json.Unmarshal([]byte(pod.Annotations[pub.InPlaceUpdateStateKey]), &state) == nil && isUpdating && state.UpdateEnvFromMetadata
}

// envOf is the hash of the environment that a container would get now.
func envOf(pod *corev1.Pod, spec *corev1.Container) uint64 {
	return inplace.ExpectedEnvHash(spec, pod.Labels, pod.Annotations)
}

// reportOf is what the annotation of a Pod should say; empty before a container has started.
func (w *World) reportOf(pod *corev1.Pod) string {
	var report pub.RuntimeContainerMetaSet
	for _, spec := range running(pod) {
		c := w.containerOf(pod, spec.Name)
		if c.starts == 0 {
			continue
		}
		report.Containers = append(report.Containers, pub.RuntimeContainerMeta{
			Name: spec.Name, ContainerID: containerID(pod, spec.Name, c.starts), RestartCount: int32(c.starts - 1),
			Hashes: pub.RuntimeContainerHashes{
				PlainHash:                    inplace.KubeletHash(&corev1.Container{Name: spec.Name, Image: c.last}),
				ExtractedEnvFromMetadataHash: c.env,
			},
		})
	}
	if len(report.Containers) == 0 {
		return ""
	}
	raw, err := json.Marshal(report)
	if err != nil {
		// NOTE: strings and numbers always encode.
		panic(err)
	}
	return string(raw)
}

// containerID is that of the container that was started for the nth time.
func containerID(pod *corev1.Pod, name string, starts int) string {
	return fmt.Sprintf("containerd://%s-%s-%d", pod.UID, name, starts)
}
