// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/tests/support"
)

// A hook holds a Pod by this label and this finalizer.
const (
	drainLabel     = "drain"
	drainFinalizer = "example.com/drain"
)

// promise is what a set promises its users.
type promise struct {
	replicas, maxSurge, maxUnavailable int
	// partition is how many Pods keep an old image at least.
	partition int
	// isKept says that the set never deletes a Pod of its own accord.
	isKept bool
}

// judge watches all Pods, as a client that depends on them would, and tells what the faults did from what the controllers did.
//
//	a Pod goes away            a fault named it before         the fault
//	                           nobody did                      the controllers: it is lost, or, where the set replaces Pods, it must be one that can be spared
//	a Pod is drained, or       it was available                the controllers: it must be one that can be spared
//	led away to its hook
//	a Pod takes another image  its hook holds it               the controllers: it must not
//	a Pod takes the new image  the partition holds it back     the controllers: it must not
//	a Pod stops being ready                                    the fault
//	Pods are too many                                          the controllers
//
// A Pod can be spared when the others that are available are as many as the set promises. What a fault has broken a moment ago may not be known to the controllers yet, and
// counts as available for that long: it is an excuse, of which there are few for each Pod, and few in all.
type judge struct {
	mutex    sync.Mutex
	promises map[string]promise
	pods     map[types.UID]*sighting
	victims  map[types.UID]string
	// blindUntil is when the controllers have surely caught up with what happened while they could not see.
	blindUntil time.Time
	verdicts   []string
	// images are the newest images of sets.
	images map[string]string
	// spared and excused count what the controllers took away, and how often that was lawful only because a fault had struck a moment before.
	spared, excused int
	// looks counts how often the judge had to look at all Pods, because it missed what happened.
	looks int
	now   func() time.Time
}

const (
	// lag is how long the controllers may take to learn of something while all work, and blindness how long at most while they could not see.
	lag, blindness = 3 * time.Second, 45 * time.Second
	// excuses is how often one broken Pod excuses that another is taken away.
	excuses = 2
)

// sighting is a Pod as it was seen last.
type sighting struct {
	pod                 *corev1.Pod
	name, set           string
	isActive, isServing bool
	// isTaken says that the controllers took it out of service: drained, or on its way to a hook. isHeld says that its hook holds it.
	isTaken, isHeld bool
	image           string
	// excused is how often it was an excuse since it broke.
	excused int
	// brokenAt is when it stopped serving by no act of the controllers; zero while it serves, or when they took it away.
	brokenAt time.Time
}

func newJudge(promises map[string]promise) *judge {
	return &judge{promises: promises, pods: map[types.UID]*sighting{}, victims: map[types.UID]string{}, images: map[string]string{}, now: time.Now}
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

// wants notes the image that a set is about to be given.
func (j *judge) wants(set, image string) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.images[set] = image
}

// release notes that a set is about to have no partition any more.
func (j *judge) release(set string) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	p := j.promises[set]
	p.partition = 0
	j.promises[set] = p
}

// seeAll takes in the state of all Pods; those that are not among them are gone. In what order all that came about nobody knows, so what is good is seen first.
func (j *judge) seeAll(pods []corev1.Pod) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.looks++
	before := map[string]int{}
	for set := range j.promises {
		before[set] = j.updated(set)
	}
	left := maps.Clone(j.pods)
	for _, s := range left {
		// Its hook may have let it go and held it again.
		s.isHeld = false
	}
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
		j.judgePartition(set, before[set])
	}
}

// see takes in the next state of a Pod.
func (j *judge) see(pod *corev1.Pod, isGone bool) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	set := pod.Labels["app"]
	before := j.updated(set)
	j.seeOne(pod, isGone)
	j.count(set)
	j.judgePartition(set, before)
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
	case was.isServing && is.isTaken && !was.isTaken:
		j.takeAway(is, is.deed())
	case was.isServing && !is.isServing:
		is.brokenAt = j.now()
	case !is.isServing:
		is.brokenAt, is.excused = was.brokenAt, was.excused
	}
	if known && is.isActive && was.image != is.image && was.isHeld && is.isHeld {
		j.condemn("%s of %s is updated while its hook holds it", is.name, is.set)
	}
	if isGone && is.brokenAt.IsZero() {
		delete(j.pods, pod.UID)
	}
}

func (j *judge) look(pod *corev1.Pod, isGone bool) *sighting {
	s := &sighting{pod: pod, name: pod.Name, set: pod.Labels["app"], isActive: !isGone && pod.DeletionTimestamp == nil && !isFailed(pod)}
	for _, c := range pod.Status.Conditions {
		if c.Type == pub.InPlaceUpdateReady && c.Status == corev1.ConditionFalse {
			s.isTaken = true
		}
	}
	if state := pod.Labels[pub.LifecycleStateKey]; state != "" && state != string(pub.LifecycleStateNormal) {
		s.isTaken = true
	}
	if len(pod.Spec.Containers) > 0 {
		s.image = pod.Spec.Containers[0].Image
	}
	s.isHeld = pod.Labels[drainLabel] != "" || slices.Contains(pod.Finalizers, drainFinalizer)
	s.isServing = s.isActive && pod.Status.Phase == corev1.PodRunning && support.IsReady(*pod) && !s.isTaken
	return s
}

// deed is what the controllers do to a Pod that they take out of service.
func (s *sighting) deed() string {
	if strings.HasPrefix(s.pod.Labels[pub.LifecycleStateKey], "Preparing") {
		return "leads " + s.name + " away"
	}
	return "drains " + s.name
}

// updated counts the Pods of a set that have its newest image; none while it was given none.
func (j *judge) updated(set string) (n int) {
	if j.images[set] == "" {
		return 0
	}
	for _, s := range j.pods {
		if s.set == set && s.isActive && s.image == j.images[set] {
			n++
		}
	}
	return n
}

// judgePartition judges whether more Pods than there were may have the newest image.
func (j *judge) judgePartition(set string, before int) {
	p := j.promises[set]
	if n, most := j.updated(set), p.replicas-p.partition; p.partition > 0 && n > before && n > most {
		j.condemn("%s has %d Pods with %s, and may have %d", set, n, j.images[set], most)
	}
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
	serving := 0
	var mayServe []*sighting
	for _, other := range j.pods {
		if other.set != pod.set || other == pod {
			continue
		}
		if other.isServing {
			serving++
		} else if j.isExcuse(other) {
			mayServe = append(mayServe, other)
		}
	}
	p := j.promises[pod.set]
	floor := p.replicas - p.maxUnavailable
	if serving >= floor {
		return
	}
	if missing := floor - serving; missing <= len(mayServe) {
		j.excused++
		for _, other := range mayServe[:missing] {
			other.excused++
		}
		return
	}
	j.condemn("%s %s while %d others serve and %d others have just been broken; %d must serve", pod.set, what, serving, len(mayServe), floor)
}

// isExcuse reports whether the controllers may not know yet that a Pod was broken.
func (j *judge) isExcuse(pod *sighting) bool {
	if pod.brokenAt.IsZero() || pod.excused >= excuses {
		return false
	}
	now := j.now()
	age := now.Sub(pod.brokenAt)
	return age < lag || now.Before(j.blindUntil) && age < blindness
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
type sentence struct {
	verdicts               []string
	spared, excused, looks int
}

func (j *judge) sentence() sentence {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return sentence{verdicts: j.verdicts, spared: j.spared, excused: j.excused, looks: j.looks}
}
