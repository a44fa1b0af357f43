// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/controllers/plan/pods"
)

// shelf keeps the Facts of one owner's Pods from one pass to the next, so that an event of one Pod does not cost the parsing of all. An informer holds the very same
// object until it changes, so the object itself says whether it was seen before. Passes of one owner follow each other: nothing is locked.
type shelf struct {
	facts map[*corev1.Pod]*kept
	// generation of the owner when the Pods were claimed: another one may have another selector.
	generation int64
	pass       uint64
	// size is read by others while a pass runs.
	size atomic.Int64
}

// kept are the Facts of a Pod, and the pass that saw them last.
type kept struct {
	*pods.Facts
	pass uint64
}

// shelf returns the owner's shelf for a new pass.
func (r *Reader) shelf(owner Owner) *shelf {
	found, _ := r.shelves.LoadOrStore(owner.Object.GetUID(), &shelf{facts: map[*corev1.Pod]*kept{}})
	s := found.(*shelf)
	if generation := owner.Object.GetGeneration(); generation != s.generation {
		s.generation = generation
		clear(s.facts)
	}
	s.pass++
	return s
}

// find returns the Facts of a Pod that has been claimed and has not changed since, or nil.
func (s *shelf) find(pod *corev1.Pod) *pods.Facts {
	k := s.facts[pod]
	if k == nil {
		return nil
	}
	k.pass = s.pass
	return k.Facts
}

// put parses a Pod and keeps what is known of it.
func (s *shelf) put(pod *corev1.Pod) *pods.Facts {
	k := &kept{Facts: pods.Read(pod), pass: s.pass}
	s.facts[pod] = k
	return k.Facts
}

// sweep drops what this pass has not seen; it has seen so many.
func (s *shelf) sweep(seen int) {
	s.size.Store(int64(seen))
	if len(s.facts) == seen {
		return
	}
	for pod, k := range s.facts {
		if k.pass != s.pass {
			delete(s.facts, pod)
		}
	}
}

// Size is how many Pods the owner had when it was observed last; zero when it never was.
func (r *Reader) Size(owner types.UID) int {
	found, isKnown := r.shelves.Load(owner)
	if !isKnown {
		return 0
	}
	return int(found.(*shelf).size.Load())
}
