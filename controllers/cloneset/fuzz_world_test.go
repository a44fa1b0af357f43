// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"math/rand/v2"
	"testing"
)

// FuzzWorld plays the random worlds with bytes instead of chance: they choose the set, every move and every fault, so that the fuzzer finds its way to moments that
// chance seldom comes to. The invariants, and the judgement at the end, are those of TestRandom.
func FuzzWorld(f *testing.F) {
	f.Add([]byte{})
	for seed := range uint64(8) {
		chance := rand.New(rand.NewPCG(seed, 0x776f726c))
		raw := make([]byte, 400)
		for i := range raw {
			raw[i] = byte(chance.IntN(256))
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := newChaosOf(&tape{raw: raw})
		if problem := c.run(); problem != "" {
			t.Fatalf("%s\nthe script ends so:\n%s", problem, c.Script.Tail(60))
		}
	})
}

// tape is a sim.Chance that reads its numbers off bytes, and goes on with zeros when they are used up.
type tape struct{ raw []byte }

func (d *tape) IntN(n int) int {
	number := 0
	for limit := 1; limit < n && len(d.raw) > 0; limit *= 256 {
		number = 256*number + int(d.raw[0])
		d.raw = d.raw[1:]
	}
	return number % n
}
