// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"

	"github.com/keelson/keelson/controllers/loop/inflight"
)

// batches remembers how many creations of an owner went well at once: 1 at first, then 2, 4 and so on up to all writers, and 1 again after a refusal. For example
// 100 new Pods are made in batches of 1, 2, 4, 8, 16, 32, 37, and the next 100 in batches of 32, 64, 4.
type batches struct{ cache *lru.Cache }

func newBatches() batches {
	// Whoever is forgotten begins with 1 again.
	const owners = 4096
	return batches{cache: lru.New(owners)}
}

// family is what sizes are remembered of: that one kind is taken says nothing of another.
type family struct {
	owner types.UID
	kind  inflight.Kind
}

// size is how many creations to begin with.
func (b batches) size(of family) int {
	if known, found := b.cache.Get(of); found {
		return known.(int)
	}
	return 1
}

func (b batches) remember(of family, size int) { b.cache.Add(of, min(size, writers)) }
