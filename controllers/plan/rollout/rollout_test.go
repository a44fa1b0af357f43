// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/controllers/plan/rollout"
)

func TestPartition(t *testing.T) {
	for name, tc := range map[string]struct {
		value    *intstr.IntOrString
		replicas int
		want     int
		wantErr  string
	}{
		"nothing said keeps no Pod back":                          {value: nil, replicas: 5, want: 0},
		"a number is taken as it is":                              {value: number(3), replicas: 5, want: 3},
		"a number beyond the replicas keeps all back":             {value: number(9), replicas: 5, want: 5},
		"a negative number keeps none back":                       {value: number(-1), replicas: 5, want: 0},
		"a percentage is rounded up":                              {value: text("50%"), replicas: 5, want: 3},
		"a whole percentage stays whole":                          {value: text("60%"), replicas: 5, want: 3},
		"less than all leaves one Pod to update":                  {value: text("90%"), replicas: 8, want: 7},
		"all of them leaves none":                                 {value: text("100%"), replicas: 8, want: 8},
		"a single Pod stays back for any percentage":              {value: text("1%"), replicas: 1, want: 1},
		"a percentage may have a fraction":                        {value: text("33.3%"), replicas: 10, want: 4},
		"a whole result of a fraction stays whole":                {value: text("32.2%"), replicas: 500, want: 161},
		"a fraction too may not keep all back":                    {value: text("99.5%"), replicas: 10, want: 9},
		"more than all is all":                                    {value: text("150%"), replicas: 4, want: 4},
		"less than nothing is nothing":                            {value: text("-5%"), replicas: 4, want: 0},
		"no replicas have no partition":                           {value: text("50%"), replicas: 0, want: 0},
		"a number in quotes is refused":                           {value: text("5"), replicas: 5, wantErr: "percentage"},
		"a percentage with letters is refused":                    {value: text("120%x"), replicas: 5, wantErr: "percentage"},
		"what is not a number is refused even where Go parses it": {value: text("NaN%"), replicas: 5, wantErr: "percentage"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rollout.Partition(tc.value, tc.replicas)
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestBatch(t *testing.T) {
	for name, tc := range map[string]struct {
		limits          rollout.Limits
		updated, wanted int
		wantBatch       int
		wantBatches     int
	}{
		"an update begins with the first batch":         {limits: rollout.Limits{MaxUnavailable: 2}, wanted: 7, wantBatch: 1, wantBatches: 4},
		"a full batch is still that batch":              {limits: rollout.Limits{MaxUnavailable: 2}, updated: 2, wanted: 7, wantBatch: 1, wantBatches: 4},
		"the next Pod begins the next batch":            {limits: rollout.Limits{MaxUnavailable: 2}, updated: 3, wanted: 7, wantBatch: 2, wantBatches: 4},
		"the last batch may be smaller":                 {limits: rollout.Limits{MaxUnavailable: 2}, updated: 7, wanted: 7, wantBatch: 4, wantBatches: 4},
		"Pods of a surge change as well":                {limits: rollout.Limits{MaxUnavailable: 1, MaxSurge: 2}, updated: 4, wanted: 6, wantBatch: 2, wantBatches: 2},
		"one Pod at a time is the least":                {limits: rollout.Limits{}, updated: 1, wanted: 3, wantBatch: 1, wantBatches: 3},
		"all at once are one batch":                     {limits: rollout.Limits{MaxUnavailable: 9}, updated: 1, wanted: 3, wantBatch: 1, wantBatches: 1},
		"without Pods to update there is none":          {limits: rollout.Limits{MaxUnavailable: 1}},
		"more than are wanted do not begin another one": {limits: rollout.Limits{MaxUnavailable: 1}, updated: 5, wanted: 3, wantBatch: 3, wantBatches: 3},
	} {
		t.Run(name, func(t *testing.T) {
			batch, batches := rollout.Batch(tc.limits, tc.updated, tc.wanted)
			assert.Equal(t, []int{tc.wantBatch, tc.wantBatches}, []int{batch, batches})
		})
	}
}

func TestWhatIsDueByNumbersIsWhatIsDuePodByPod(t *testing.T) {
	for replicas := range 6 {
		for partition := range replicas + 1 {
			for old := range 8 {
				for updated := range 8 {
					l := rollout.Limits{Replicas: replicas, Partition: partition}
					pods := append(many(old, oldPod(true)), many(updated, updatedPod(true))...)
					want := rollout.Calculate(rollout.Input{Limits: l, Pods: pods}).Update
					assert.Equal(t, want, rollout.Due(l, old, updated), "%+v, %d old, %d updated", l, old, updated)
				}
			}
		}
	}
}

func TestCalculate(t *testing.T) {
	for name, tc := range map[string]struct {
		in   rollout.Input
		want rollout.Result
	}{
		"an empty set creates all its Pods": {
			in:   input(limits{replicas: 3, unavailable: 1}),
			want: rollout.Result{Create: 3, CreateNow: 3, UpdateMaxUnavailable: -2},
		},
		"an empty set with a partition creates that many old Pods": {
			in:   input(limits{replicas: 3, unavailable: 1, partition: 2}),
			want: rollout.Result{Create: 3, CreateOld: 2, CreateNow: 3, UpdateMaxUnavailable: -2},
		},
		"creation waits for unavailable Pods": {
			in:   with(input(limits{replicas: 4, unavailable: 1}, many(2, updatedPod(false))...), func(in *rollout.Input) { in.ScaleMaxUnavailable = 3 }),
			want: rollout.Result{Create: 2, CreateNow: 1, Update: 0, UpdateMaxUnavailable: -1},
		},
		"an update may take as many Pods as may be unavailable": {
			in:   input(limits{replicas: 5, unavailable: 2}, many(5, oldPod(true))...),
			want: rollout.Result{Update: 5, UpdateMaxUnavailable: 2},
		},
		"a partition ends the update": {
			in:   input(limits{replicas: 5, unavailable: 1, partition: 2}, append(many(3, updatedPod(true)), many(2, oldPod(true))...)...),
			want: rollout.Result{UpdateMaxUnavailable: 1},
		},
		"a surge creates a Pod before the update": {
			in:   input(limits{replicas: 3, surge: 1}, many(3, oldPod(true))...),
			want: rollout.Result{Create: 1, CreateNow: 1, Update: 3},
		},
		"the surge goes when the update is done": {
			in:   input(limits{replicas: 3, surge: 1}, many(4, updatedPod(true))...),
			want: rollout.Result{Delete: 1, DeleteServing: 1, UpdateMaxUnavailable: 1},
		},
		"fewer replicas delete what is too many, old Pods first": {
			in:   input(limits{replicas: 2, unavailable: 1}, updatedPod(true), updatedPod(true), oldPod(true), oldPod(true)),
			want: rollout.Result{Delete: 2, DeleteOld: 2, DeleteServing: 3, Update: 0, UpdateMaxUnavailable: 3},
		},
		"a Pod that waits for its preDelete hook is one of those that are too many": {
			in: input(limits{replicas: 1, unavailable: 1},
				rollout.Pod{New: true, PreparingDelete: true}, updatedPod(true)),
			want: rollout.Result{UpdateMaxUnavailable: 2},
		},
		"an old Pod that does not serve is updated though the named new one still does": {
			in:   input(limits{replicas: 2, surge: 1}, toDelete(true), oldPod(false), updatedPod(true)),
			want: rollout.Result{Update: 1, UpdateMaxUnavailable: 1},
		},
		"with two unavailable allowed a named Pod is deleted at once": {
			in:   input(limits{replicas: 3, unavailable: 2, surge: 1}, updatedPod(false), toDelete(true), updatedPod(true)),
			want: rollout.Result{DeleteServing: 1, UpdateMaxUnavailable: 2},
		},
		"with one unavailable already a surge goes before the named Pod": {
			in:   input(limits{replicas: 3, unavailable: 1, surge: 1}, updatedPod(false), toDelete(true), updatedPod(true)),
			want: rollout.Result{Create: 1, CreateNow: 1, UpdateMaxUnavailable: 1},
		},
		"a grown partition rolls back only when asked to": {
			in:   with(input(limits{replicas: 3, unavailable: 1, partition: 2}, many(3, updatedPod(true))...), func(in *rollout.Input) { in.Rollback = true }),
			want: rollout.Result{Update: -2, UpdateMaxUnavailable: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, rollout.Calculate(tc.in))
		})
	}
}

// TestCalculateKeepsItsPromises tries random sets of Pods: never too many Pods, never too few available ones.
func TestCalculateKeepsItsPromises(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for range 200_000 {
		l := limits{replicas: random.Intn(8), unavailable: random.Intn(4), surge: random.Intn(4)}
		l.partition = random.Intn(l.replicas + 1)
		var all []rollout.Pod
		for range random.Intn(12) {
			all = append(all, rollout.Pod{
				New: random.Intn(2) == 0, PreparingDelete: random.Intn(8) == 0, ToDelete: random.Intn(6) == 0, Available: random.Intn(3) > 0,
			})
		}
		in := input(l, all...)
		in.Rollback = random.Intn(2) == 0
		got := rollout.Calculate(in)
		available := 0
		for _, p := range all {
			if p.Available {
				available++
			}
		}
		require.False(t, got.Create > 0 && got.Delete > 0, "%+v: %+v", in, got)
		require.LessOrEqual(t, got.CreateNow, got.Create, "%+v: %+v", in, got)
		require.False(t, got.Create > 0 && len(all)+got.Create > l.replicas+l.surge, "%+v: %+v", in, got)
		require.False(t, got.DeleteServing > 0 && available-got.DeleteServing < l.replicas-l.unavailable, "%+v: %+v", in, got)
	}
}

type limits struct{ replicas, partition, surge, unavailable int }

func input(l limits, all ...rollout.Pod) rollout.Input {
	return rollout.Input{
		Limits: rollout.Limits{
			Replicas: l.replicas, Partition: l.partition, MaxSurge: l.surge, MaxUnavailable: l.unavailable, ScaleMaxUnavailable: rollout.NoLimit,
		},
		Pods: all,
	}
}

func with(in rollout.Input, change func(*rollout.Input)) rollout.Input {
	change(&in)
	return in
}

func many(n int, p rollout.Pod) []rollout.Pod {
	all := make([]rollout.Pod, n)
	for i := range all {
		all[i] = p
	}
	return all
}

func oldPod(available bool) rollout.Pod     { return rollout.Pod{Available: available} }
func updatedPod(available bool) rollout.Pod { return rollout.Pod{New: true, Available: available} }
func toDelete(available bool) rollout.Pod {
	return rollout.Pod{New: true, ToDelete: true, Available: available}
}

func number(n int) *intstr.IntOrString {
	v := intstr.FromInt(n)
	return &v
}

func text(s string) *intstr.IntOrString {
	v := intstr.FromString(s)
	return &v
}
