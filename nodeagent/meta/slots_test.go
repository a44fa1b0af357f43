// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/cache"
)

func stopOf(namespace string, number int) restart {
	return restart{pod: cache.ObjectName{Namespace: namespace, Name: fmt.Sprint(number)}}
}

func TestSlotsAreSharedFairly(t *testing.T) {
	s := &slots{}
	for i := range 100 {
		began := s.take(stopOf("greedy", i))
		assert.Equal(t, i < stopsOfNamespace, len(began) == 1, "a namespace gets its share and no more")
	}
	for i := range 100 {
		assert.Len(t, s.take(stopOf(fmt.Sprintf("modest-%d", i), 0)), 1, "a namespace that has no stop under way never waits")
	}
	assert.Empty(t, s.take(stopOf("modest-0", 1)), "all are taken, and it has one")
	assert.Empty(t, s.free(stopOf("greedy", 0)), "there are still more than there should be")
	var began []restart
	for i := 10; i < 100; i++ {
		began = append(began, s.free(stopOf(fmt.Sprintf("modest-%d", i), 0))...)
	}
	assert.Equal(t, []restart{stopOf("modest-0", 1), stopOf("greedy", 10)}, began, "the namespace that has fewer stops comes before the one that waited longer")
	assert.Equal(t, []restart{stopOf("greedy", 11)}, s.free(stopOf("greedy", 1)), "the first to come of those that wait")
}

func TestSlotsInAnyOrder(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		s, under, began, asked := &slots{}, []restart{}, map[restart]bool{}, 0
		begin := func(all []restart) {
			for _, r := range all {
				require.False(t, began[r], "nothing begins twice")
				began[r], under = true, append(under, r)
			}
		}
		for range 400 {
			if random.IntN(3) > 0 || len(under) == 0 {
				asked++
				begin(s.take(stopOf(fmt.Sprint("n", random.IntN(12)), asked)))
			} else {
				i := random.IntN(len(under))
				ended := under[i]
				under = append(under[:i], under[i+1:]...)
				begin(s.free(ended))
			}
			of := map[string]int{}
			for _, r := range under {
				of[r.pod.Namespace]++
			}
			isUnserved := func(r restart) bool { return of[r.pod.Namespace] == 0 }
			require.False(t, slices.ContainsFunc(s.waiting, isUnserved), "who waits has a stop under way")
			require.LessOrEqual(t, len(under), stopsInTotal+11)
			require.LessOrEqual(t, slices.Max(append(slices.Collect(maps.Values(of)), 0)), stopsOfNamespace)
		}
		for len(under) > 0 {
			ended := under[0]
			under = under[1:]
			begin(s.free(ended))
		}
		require.Len(t, began, asked, "everything has its turn")
		require.Empty(t, s.stops)
		require.Zero(t, s.total)
	}
}
