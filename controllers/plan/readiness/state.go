// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
)

// Key says who holds a Pod not ready, and why.
// COMPAT: the names of the fields are published.
type Key struct {
	// UserAgent is who holds the Pod.
	UserAgent string `json:"userAgent"`
	// Name tells the reasons of one user agent apart.
	Name string `json:"key"`
}

// compare sorts keys.
// COMPAT: the order is published.
func compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.UserAgent, b.UserAgent), cmp.Compare(a.Name, b.Name))
}

// State is what a Pod's condition KruisePodReady says. It is a value: Hold and Release return another one.
type State struct {
	// HasGate says that the Pod has the readiness gate. Without it the condition has no effect, and nothing is written.
	HasGate bool
	// Status is that of the condition; empty when the Pod has none.
	Status corev1.ConditionStatus
	// Keys are all that hold the Pod, sorted.
	Keys []Key
	// IsForeign says that the Pod is held by a message that is no list of keys. Only its writer can end that.
	IsForeign bool
	// Since is when Status became what it is; zero when the Pod has no condition.
	Since time.Time
}

// Read takes the state from a Pod.
func Read(pod *corev1.Pod) State {
	var s State
	for i := range pod.Spec.ReadinessGates {
		s.HasGate = s.HasGate || pod.Spec.ReadinessGates[i].ConditionType == pub.KruisePodReady
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == pub.KruisePodReady {
			s.Status, s.Since = c.Status, c.LastTransitionTime.Time
			s.read(c.Message)
		}
	}
	return s
}

// read parses the message of the condition.
func (s *State) read(message string) {
	if message == "" || message == "[]" {
		return
	}
	if err := json.Unmarshal([]byte(message), &s.Keys); err != nil {
		s.Keys, s.IsForeign = nil, s.Status == corev1.ConditionFalse
		return
	}
	slices.SortFunc(s.Keys, compare)
	s.Keys = slices.Compact(s.Keys)
}

// Holds says that a key holds the Pod.
func (s State) Holds(k Key) bool {
	_, found := slices.BinarySearchFunc(s.Keys, k, compare)
	return found
}

// Hold is the state in which a key holds the Pod, too. It is the same for a Pod without the gate.
func (s State) Hold(k Key) State {
	at, found := slices.BinarySearchFunc(s.Keys, k, compare)
	if !s.HasGate || found {
		return s
	}
	s.Keys = slices.Insert(slices.Clone(s.Keys), at, k)
	return s
}

// Release is the state in which a key does not hold the Pod.
func (s State) Release(k Key) State {
	at, found := slices.BinarySearchFunc(s.Keys, k, compare)
	if !found {
		return s
	}
	s.Keys = slices.Delete(slices.Clone(s.Keys), at, at+1)
	return s
}

// IsFree says that nobody holds the Pod, and that its condition says so where it needs one.
func (s State) IsFree() bool {
	return !s.HasGate || s.Status == corev1.ConditionTrue && len(s.Keys) == 0
}

// Wanted is the status that the keys ask for.
func (s State) Wanted() corev1.ConditionStatus {
	if len(s.Keys) > 0 {
		return corev1.ConditionFalse
	}
	return corev1.ConditionTrue
}

// IsRight says that nothing has to be written to lead from this state to another one of the same Pod.
func (s State) IsRight(to State) bool {
	return !s.HasGate || s.IsForeign || s.Status == to.Wanted() && slices.Equal(s.Keys, to.Keys)
}

// Change is the condition that leads from this state to another one of the same Pod, and whether there is anything to write. A condition that is
// missing, or has another status than its keys ask for, is mended on the way. An empty message is not to be written: somebody else may have begun to hold
// a Pod that nobody held.
func (s State) Change(to State, now time.Time) (corev1.PodCondition, bool) {
	if s.IsRight(to) {
		return corev1.PodCondition{}, false
	}
	c := corev1.PodCondition{Type: pub.KruisePodReady, Status: to.Wanted(), LastTransitionTime: metav1.NewTime(now)}
	if len(to.Keys) > 0 || len(s.Keys) > 0 {
		message, err := json.Marshal(append([]Key{}, to.Keys...))
		if err != nil {
			// NOTE: a list of strings always encodes.
			panic(err)
		}
		c.Message = string(message)
	}
	if c.Status == s.Status {
		c.LastTransitionTime = metav1.NewTime(s.Since)
	}
	return c, true
}
