// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/controllers/plan/rollout"
)

// FuzzCounting asks for numbers and parts of any number of Pods, and lets them limit any set of Pods. An answer is never below none nor above all, a part of less than all
// leaves one of several Pods to update, percentages are exact, and what follows is held against what the limits promise.
func FuzzCounting(f *testing.F) {
	for _, text := range []string{"", "0%", "33.3%", "99.9%", "100%", "150%", "-1%", "5", "%", "NaN%", "Inf%", "1e309%", "0x1p4%", "1_0%", " 5%", "99999999999999999999%"} {
		f.Add(text, int32(3), 10, uint8(0), []byte{1, 9, 8, 12, 8})
	}
	f.Add("50%", int32(-1), 0, uint8(1), []byte{8, 8, 9, 9})
	f.Add("50%", int32(2147483647), 1, uint8(3), []byte{2, 3, 4, 5, 6, 7})
	f.Add("32.2%", int32(322000), 500, uint8(7), []byte{})
	f.Fuzz(func(t *testing.T, text string, number int32, replicas int, flags uint8, raw []byte) {
		replicas = min(max(replicas, 0), 1<<31-1)
		isExact(t, uint32(number), replicas)
		partition := withinAll(t, intstr.FromString(text), replicas)
		limit := withinAll(t, intstr.FromInt32(number), replicas)

		in := rollout.Input{Rollback: flags&1 != 0, ExcludePreparingDelete: flags&2 != 0}
		in.Replicas = min(replicas, 1000)
		in.Partition = min(partition, in.Replicas)
		in.MaxSurge, in.MaxUnavailable = min(limit, 1000), int(flags>>4)
		in.ScaleMaxUnavailable = min(replicas, int(flags>>2))
		for _, b := range raw[:min(len(raw), 1000)] {
			in.Pods = append(in.Pods, rollout.Pod{New: b&1 != 0, PreparingDelete: b&2 != 0, ToDelete: b&4 != 0, Available: b&8 != 0})
		}
		r := rollout.Calculate(in)
		assert.Equal(t, r, rollout.Calculate(in), "the same question has the same answer")
		judge(t, in, r)
	})
}

// withinAll resolves a limit in each way that there is, and returns it as a partition.
func withinAll(t *testing.T, value intstr.IntOrString, replicas int) int {
	partition, err := rollout.Partition(&value, replicas)
	if err != nil {
		assert.Zero(t, partition)
		assert.ErrorContains(t, err, "it must be a number or a percentage", "an error says how to mend it")
		return 0
	}
	assert.GreaterOrEqual(t, partition, 0)
	assert.LessOrEqual(t, partition, replicas)
	down, err := rollout.Scaled(&value, value, replicas, rollout.Down)
	up, errUp := rollout.Scaled(&value, value, replicas, rollout.Up)
	assert.Equal(t, err == nil, errUp == nil)
	assert.GreaterOrEqual(t, down, 0)
	assert.LessOrEqual(t, down, up)
	assert.LessOrEqual(t, up-down, 1)
	return partition
}

// isExact compares a percentage, given in millionths, with exact arithmetic.
func isExact(t *testing.T, units uint32, replicas int) {
	units %= 1_000_000
	value := intstr.FromString(fmt.Sprintf("%d.%04d%%", units/10_000, units%10_000))
	got, err := rollout.Partition(&value, replicas)
	require.NoError(t, err)
	want := int((uint64(units)*uint64(replicas) + 999_999) / 1_000_000)
	if replicas > 1 && want == replicas {
		want--
	}
	require.Equal(t, want, got, "%s of %d", value.StrVal, replicas)
}

func judge(t *testing.T, in rollout.Input, r rollout.Result) {
	present, leaving, available := 0, 0, 0
	for _, p := range in.Pods {
		if !p.PreparingDelete || !in.ExcludePreparingDelete {
			present++
		}
		if p.ToDelete || p.PreparingDelete {
			leaving++
		}
		if p.Available {
			available++
		}
	}
	assert.True(t, r.Create == 0 || r.Delete == 0, "nobody creates and deletes in one pass")
	assert.True(t, 0 <= r.CreateNow && r.CreateNow <= r.Create && 0 <= r.CreateOld && r.CreateOld <= r.Create, "%+v", r)
	assert.True(t, 0 <= r.DeleteOld && r.DeleteOld <= r.Delete && r.Delete <= len(in.Pods), "%+v", r)
	if r.Create > 0 {
		assert.LessOrEqual(t, present+r.Create, in.Replicas+in.MaxSurge, "no more Pods than the surge allows")
	}
	if r.Delete > 0 {
		assert.GreaterOrEqual(t, len(in.Pods)-leaving-r.Delete, in.Replicas-leaving, "no fewer Pods than wanted")
	}
	if r.DeleteServing > 0 {
		assert.GreaterOrEqual(t, available-r.DeleteServing, in.Replicas-in.MaxUnavailable, "no more Pods out of service than allowed")
	}
	assert.True(t, -len(in.Pods) <= r.Update && r.Update <= len(in.Pods), "%+v", r)
	assert.True(t, in.Rollback || r.Update >= 0, "nobody goes back unless that is wanted")
}
