// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import "sync"

// How many containers are stopped at once. A tenant decides how long that takes, up to years.
const (
	stopsOfNamespace = 10
	stopsInTotal     = 50
)

// slots hands out the right to stop a container. The namespace with the fewest stops comes first, and one that has none never waits: so no namespace keeps
// another from its turn, and there are never more stops than stopsInTotal and one for each further namespace with Pods on the node. Stops of one namespace take
// their turns in the order in which they were asked for.
//
//	stops under way: a 10, b 1    waiting: a, a, b, c    next: c (it has none), then b, and a when one of its own has ended
type slots struct {
	mutex   sync.Mutex
	stops   map[string]int
	total   int
	waiting []restart
}

// take asks for a slot, and returns what may begin now. What may not is returned by a later call of free.
func (s *slots) take(r restart) []restart {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.waiting = append(s.waiting, r)
	return s.next()
}

// free gives a slot back, and returns what may begin now.
func (s *slots) free(r restart) []restart {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.total--
	s.stops[r.pod.Namespace]--
	if s.stops[r.pod.Namespace] == 0 {
		delete(s.stops, r.pod.Namespace)
	}
	return s.next()
}

func (s *slots) next() []restart {
	var begin []restart
	for len(s.waiting) > 0 {
		first := 0
		for i, r := range s.waiting {
			if s.stops[r.pod.Namespace] < s.stops[s.waiting[first].pod.Namespace] {
				first = i
			}
		}
		r := s.waiting[first]
		switch mine := s.stops[r.pod.Namespace]; {
		case mine > 0 && (mine >= stopsOfNamespace || s.total >= stopsInTotal):
			return begin
		case s.stops == nil:
			s.stops = map[string]int{}
		}
		s.waiting = append(s.waiting[:first], s.waiting[first+1:]...)
		s.stops[r.pod.Namespace]++
		s.total++
		begin = append(begin, r)
	}
	return begin
}
