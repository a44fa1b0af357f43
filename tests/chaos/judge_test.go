// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos_test

import (
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/tests/support"
)

// promise is what a set promises its users.
type promise struct {
	replicas, maxSurge, maxUnavailable int
	// isKept says that the set never deletes a Pod of its own accord.
	isKept bool
}

// judge watches all Pods, as a client that depends on them would, and tells what the faults did from what the controllers did.
//
//	a Pod goes away            a fault named it before         the fault
//	                           nobody did                      the controllers: it is lost, or, where the set replaces Pods, it must be one that can be spared
//	a Pod is drained           it was available                the controllers: it must be one that can be spared
//	a Pod stops being ready                                    the fault
//	Pods are too many                                          the controllers
//
// A Pod can be spared when the others that are available are as many as the set promises. What a fault has broken a moment ago may not be known to the controllers yet, and
// counts as available for that long.
type judge struct {
	mutex    sync.Mutex
	promises map[string]promise
	pods     map[types.UID]*sighting
	victims  map[types.UID]string
	// blindUntil is when the controllers have surely caught up with what happened while they could not see.
	blindUntil time.Time
	verdicts   []string
	// spared and excused count what the controllers took away, and how often that was lawful only because a fault had struck a moment before.
	spared, excused int
	// looks counts how often the judge had to look at all Pods, because it missed what happened.
	looks int
	now   func() time.Time
}

// lag is how long the controllers may take to learn of something while all work.
const lag = 3 * time.Second

// sighting is a Pod as it was seen last.
type sighting struct {
	pod                 *corev1.Pod
	name, set           string
	isActive, isServing bool
	isDrained           bool
	// brokenAt is when it stopped serving by no act of the controllers; zero while it serves, or when they took it away.
	brokenAt time.Time
}

func newJudge(promises map[string]promise) *judge {
	return &judge{promises: promises, pods: map[types.UID]*sighting{}, victims: map[types.UID]string{}, now: time.Now}
}

// blame notes that a fault is about to take a Pod away.
func (j *judge) blame(pod types.UID, fault string) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.victims[pod] = fault
}

// pardon notes that a fault has not taken a Pod away after all.
func (j *judge) pardon(pod types.UID) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	delete(j.victims, pod)
}

// blind notes until when the controllers may not know what happens.
func (j *judge) blind(until time.Time) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.blindUntil = until
}

// seeAll takes in the state of all Pods; those that are not among them are gone. In what order all that came about nobody knows, so what is good is seen first.
func (j *judge) seeAll(pods []corev1.Pod) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.looks++
	left := maps.Clone(j.pods)
	for i := range pods {
		delete(left, pods[i].UID)
		if j.look(&pods[i], false).isServing {
			j.seeOne(&pods[i], false)
		}
	}
	for _, s := range left {
		if s.isActive {
			j.seeOne(s.pod, true)
		}
	}
	for i := range pods {
		j.seeOne(&pods[i], false)
	}
	for set := range j.promises {
		j.count(set)
	}
}

// see takes in the next state of a Pod.
func (j *judge) see(pod *corev1.Pod, isGone bool) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.seeOne(pod, isGone)
	j.count(pod.Labels["app"])
}

func (j *judge) seeOne(pod *corev1.Pod, isGone bool) {
	was, known := j.pods[pod.UID]
	if !known {
		was = &sighting{}
	}
	is := j.look(pod, isGone)
	j.pods[pod.UID] = is
	switch {
	case was.isActive && !is.isActive:
		j.goesAway(pod.UID, was, is, isFailed(pod))
	case was.isServing && is.isDrained && !was.isDrained:
		j.takeAway(is, "drains "+is.name)
	case was.isServing && !is.isServing:
		is.brokenAt = j.now()
	case !is.isServing:
		is.brokenAt = was.brokenAt
	}
	if isGone && is.brokenAt.IsZero() {
		delete(j.pods, pod.UID)
	}
}

func (j *judge) look(pod *corev1.Pod, isGone bool) *sighting {
	s := &sighting{pod: pod, name: pod.Name, set: pod.Labels["app"], isActive: !isGone && pod.DeletionTimestamp == nil && !isFailed(pod)}
	for _, c := range pod.Status.Conditions {
		if c.Type == pub.InPlaceUpdateReady && c.Status == corev1.ConditionFalse {
			s.isDrained = true
		}
	}
	state := pod.Labels[pub.LifecycleStateKey]
	s.isServing = s.isActive && pod.Status.Phase == corev1.PodRunning && support.IsReady(*pod) && !s.isDrained && (state == "" || state == string(pub.LifecycleStateNormal))
	return s
}

func isFailed(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// goesAway judges the end of a Pod.
func (j *judge) goesAway(uid types.UID, was, is *sighting, isFailed bool) {
	_, isVictim := j.victims[uid]
	switch {
	case isVictim || isFailed:
		if was.isServing {
			is.brokenAt = j.now()
		}
	case j.promises[is.set].isKept:
		j.condemn("%s of %s is lost: nobody but the controllers deleted it", is.name, is.set)
	case was.isServing:
		j.takeAway(is, "deletes "+is.name)
	}
}

// takeAway judges that the controllers take a Pod away that was serving.
func (j *judge) takeAway(pod *sighting, what string) {
	j.spared++
	serving, mayServe := 0, 0
	now := j.now()
	for _, other := range j.pods {
		if other.set != pod.set || other == pod {
			continue
		}
		if other.isServing {
			serving++
		} else if !other.brokenAt.IsZero() && (now.Sub(other.brokenAt) < lag || now.Before(j.blindUntil)) {
			mayServe++
		}
	}
	p := j.promises[pod.set]
	floor := p.replicas - p.maxUnavailable
	if serving >= floor {
		return
	}
	if serving+mayServe >= floor {
		j.excused++
		return
	}
	j.condemn("%s %s while %d others serve and %d others have just been broken; %d must serve", pod.set, what, serving, mayServe, floor)
}

// count judges how many Pods there are.
func (j *judge) count(set string) {
	n := 0
	for _, s := range j.pods {
		if s.set == set && s.isActive {
			n++
		}
	}
	if p := j.promises[set]; n > p.replicas+p.maxSurge {
		j.condemn("%s has %d Pods, and may have %d", set, n, p.replicas+p.maxSurge)
	}
}

func (j *judge) condemn(format string, args ...any) {
	j.verdicts = append(j.verdicts, j.now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// sentence is what the judge has to say in the end.
func (j *judge) sentence() (verdicts []string, spared, excused, looks int) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return j.verdicts, j.spared, j.excused, j.looks
}
