// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/readiness"
)

// Read parses a Pod. The Pod is kept by reference and must not change afterwards.
func Read(pod *corev1.Pod) *Facts {
	f := &Facts{
		Pod:             pod,
		Revision:        pod.Labels[appsv1.ControllerRevisionHashLabelKey],
		State:           pub.LifecycleStateType(pod.Labels[pub.LifecycleStateKey]),
		SpecifiedDelete: hasLabel(pod, kruisev1beta1.SpecifiedDeleteKey),
		Terminating:     pod.DeletionTimestamp != nil,
		Ended:           pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
		Scheduled:       pod.Spec.NodeName != "",
		Running:         pod.Status.Phase == corev1.PodRunning,
		DeletionCost:    deletionCost(pod),
		Grace:           firstAnnotation(pod, pub.InPlaceUpdateGraceKey, pub.InPlaceUpdateGraceKeyOld),
		Readiness:       readiness.Read(pod),
	}
	for i := range pod.Spec.ReadinessGates {
		f.HasInPlaceGate = f.HasInPlaceGate || pod.Spec.ReadinessGates[i].ConditionType == pub.InPlaceUpdateReady
	}
	for i := range pod.Status.ContainerStatuses {
		f.Restarts = max(f.Restarts, pod.Status.ContainerStatuses[i].RestartCount)
	}
	f.readConditions()
	f.readInPlaceState()
	f.readGrace()
	return f
}

func (f *Facts) readConditions() {
	for i := range f.Pod.Status.Conditions {
		c := &f.Pod.Status.Conditions[i]
		switch c.Type {
		case corev1.PodReady:
			f.Ready = c.Status == corev1.ConditionTrue
			if f.Ready {
				f.ReadySince = c.LastTransitionTime.Time
			}
		case pub.InPlaceUpdateReady:
			f.InPlaceReady = c.Status
		}
	}
}

func (f *Facts) readInPlaceState() {
	for _, key := range []string{pub.InPlaceUpdateStateKey, pub.InPlaceUpdateStateKeyOld} {
		raw, found := f.Pod.Annotations[key]
		if !found {
			continue
		}
		state := &pub.InPlaceUpdateState{}
		if err := json.Unmarshal([]byte(raw), state); err != nil {
			f.Broken = append(f.Broken, BrokenAnnotation{Key: key, Problem: err.Error()})
			continue
		}
		f.InPlace = state
		return
	}
}

// readGrace only checks that the held back update is JSON; what is in it is the business of the in-place kernel.
func (f *Facts) readGrace() {
	for _, key := range []string{pub.InPlaceUpdateGraceKey, pub.InPlaceUpdateGraceKeyOld} {
		raw, found := f.Pod.Annotations[key]
		if !found {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(raw), &object); err != nil {
			f.Broken = append(f.Broken, BrokenAnnotation{Key: key, Problem: err.Error()})
			f.Grace = ""
		}
	}
}

func hasLabel(pod *corev1.Pod, key string) bool {
	_, found := pod.Labels[key]
	return found
}

func firstAnnotation(pod *corev1.Pod, keys ...string) string {
	for _, key := range keys {
		if value, found := pod.Annotations[key]; found {
			return value
		}
	}
	return ""
}

// deletionCost reads the cost as Kubernetes does: what is not a 32-bit number, or is written with a plus or leading zeros, counts as zero.
func deletionCost(pod *corev1.Pod) int32 {
	value := pod.Annotations[corev1.PodDeletionCost]
	cost, err := strconv.ParseInt(value, 10, 64)
	if err != nil || cost < math.MinInt32 || cost > math.MaxInt32 || strconv.FormatInt(cost, 10) != value {
		return 0
	}
	return int32(cost)
}

// IsActive says that the Pod counts: it is neither terminating nor ended.
func (f *Facts) IsActive() bool { return !f.Terminating && !f.Ended }

// IsPreparingDelete says that the Pod waits for the release of its preDelete hook.
func (f *Facts) IsPreparingDelete() bool { return f.State == pub.LifecycleStatePreparingDelete }

// IsReady reports whether the Pod runs, is Ready and is not drained for an update in place.
// COMPAT: the state of its life does not matter, so that a Pod which waits for a hook counts as ready.
func (f *Facts) IsReady() bool {
	return f.Running && f.Ready && (f.InPlaceReady == "" || f.InPlaceReady == corev1.ConditionTrue)
}

// IsServing reports whether the Pod is ready and in the state Normal: then it is available after minReadySeconds.
func (f *Facts) IsServing() bool {
	return (f.State == "" || f.State == pub.LifecycleStateNormal) && f.IsReady()
}

// IsAvailable reports whether the Pod has been serving for minReadySeconds.
func (f *Facts) IsAvailable(minReadySeconds int32, now time.Time) bool {
	return f.IsServing() && f.AvailableIn(minReadySeconds, now) <= 0
}

// AvailableIn is how long a Pod that serves has to go on until it is available; zero or less when it is. It says nothing of a Pod that
// does not serve.
func (f *Facts) AvailableIn(minReadySeconds int32, now time.Time) time.Duration {
	if minReadySeconds <= 0 {
		return 0
	}
	return f.ReadySince.Add(time.Duration(minReadySeconds) * time.Second).Sub(now)
}

// Problem is why the Pod does not serve, in a word or two: a container's waiting reason, an unschedulable Pod, a resize that the node cannot make, the state
// of its life, or its phase. It is empty for a Pod that serves.
func (f *Facts) Problem() string {
	if f.IsServing() {
		return ""
	}
	if reason := f.waitingReason(); reason != "" {
		return reason
	}
	if f.State != "" && f.State != pub.LifecycleStateNormal {
		return string(f.State)
	}
	if !f.Running {
		return string(f.Pod.Status.Phase)
	}
	if f.Readiness.Status == corev1.ConditionFalse && len(f.Readiness.Keys) > 0 {
		return "held not ready by " + f.Readiness.Keys[0].UserAgent
	}
	return "not ready"
}

// backOff reads the kubelet's "back-off 20s restarting failed container=main pod=...": the reason alone would not say that a container which is fine waits for
// nothing else. It is empty for any other message.
func backOff(message string) string {
	rest, isBackOff := strings.CutPrefix(message, "back-off ")
	text, rest, _ := strings.Cut(rest, " ")
	wait, err := time.ParseDuration(text)
	_, rest, hasName := strings.Cut(rest, "container=")
	name, _, _ := strings.Cut(rest, " ")
	if !isBackOff || err != nil || !hasName || name == "" {
		return ""
	}
	return fmt.Sprintf(": the kubelet waits %.0f s before it restarts %s", wait.Seconds(), name)
}

// waitingReason is why a container waits, init containers first: the others wait for them. Else it is why the Pod gets no node, or not its resources; empty
// when nothing is said.
func (f *Facts) waitingReason() string {
	for _, list := range [][]corev1.ContainerStatus{f.Pod.Status.InitContainerStatuses, f.Pod.Status.ContainerStatuses} {
		for i := range list {
			if w := list[i].State.Waiting; w != nil && w.Reason != "" {
				return w.Reason + backOff(w.Message)
			}
		}
	}
	for i := range f.Pod.Status.Conditions {
		c := &f.Pod.Status.Conditions[i]
		isUnscheduled := c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
		isUnresized := c.Type == corev1.PodResizePending && c.Status == corev1.ConditionTrue
		if isUnscheduled || isUnresized {
			return c.Reason
		}
	}
	return ""
}
