// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
)

// batches remembers how many creations of an owner went well at once: 1 at first, then 2, 4 and so on up to all writers, and 1 again after a refusal. For example
// 100 new Pods are made in batches of 1, 2, 4, 8, 16, 32, 37, and the next 100 in batches of 32, 64, 4.
type batches struct{ cache *lru.Cache }

func newBatches() batches {
	// Whoever is forgotten begins with 1 again.
	const owners = 4096
	return batches{cache: lru.New(owners)}
}

// size is how many creations to begin with.
func (b batches) size(owner types.UID) int {
	if known, found := b.cache.Get(owner); found {
		return known.(int)
	}
	return 1
}

func (b batches) remember(owner types.UID, size int) { b.cache.Add(owner, min(size, writers)) }
