// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Limits are the numbers of a strategy, with percentages resolved.
type Limits struct {
	// Replicas is how many Pods there should be.
	Replicas int
	// Partition is how many Pods stay at the old revision, 0 to Replicas.
	Partition int
	// MaxSurge is how many Pods there may be beyond Replicas.
	MaxSurge int
	// MaxUnavailable is how many Pods may be unavailable because of us.
	MaxUnavailable int
	// ScaleMaxUnavailable limits creation: no Pod is created while so many are unavailable.
	ScaleMaxUnavailable int
}

// NoLimit stands for a limit that is not set.
const NoLimit = math.MaxInt32

// Partition resolves a partition against the replicas. A percentage is rounded up and may have a fraction; one that is less than
// 100% leaves at least one of several Pods to update.
//
//	10 replicas, "33.3%": 3.33 is rounded up to 4
//	8 replicas, "90%": 7.2 is rounded up to 8, which would update nothing, so it is 7
func Partition(value *intstr.IntOrString, replicas int) (int, error) {
	if value == nil {
		return 0, nil
	}
	if value.Type == intstr.Int {
		return min(max(value.IntValue(), 0), replicas), nil
	}
	number, isPercent := strings.CutSuffix(value.StrVal, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil || !isPercent || math.IsNaN(percent) || math.IsInf(percent, 0) {
		return 0, fmt.Errorf("reading partition %q: it must be a number or a percentage such as 20%%", value.StrVal)
	}
	switch {
	case percent <= 0:
		return 0, nil
	case percent >= 100:
		return replicas, nil
	}
	result := roundedUp(percent, replicas)
	if replicas > 1 && result == replicas {
		result = replicas - 1
	}
	return result, nil
}

// roundedUp is a percentage of a number, rounded up. It counts in ten-thousandths of a percent, the smallest that the schema accepts, because whole
// results must stay whole: 32.2% of 500 are 161, but 161.00000000000003 in floating point, which would be rounded up to 162.
func roundedUp(percent float64, of int) int {
	const one, all = 10_000, 100 * 10_000
	return (int(math.Round(percent*one))*of + all - 1) / all
}

// Scaled resolves a number or percentage against the replicas, rounded up or down; nil gives the fallback.
func Scaled(value *intstr.IntOrString, fallback intstr.IntOrString, replicas int, round Rounding) (int, error) {
	if value == nil {
		value = &fallback
	}
	result, err := intstr.GetScaledValueFromIntOrPercent(value, replicas, round == Up)
	if err != nil {
		return 0, fmt.Errorf("reading %q: it must be a number or a percentage such as 20%%: %w", value.String(), err)
	}
	return max(result, 0), nil
}

// Rounding says where a fraction goes.
type Rounding int

const (
	// Down drops a fraction.
	Down Rounding = iota
	// Up counts a fraction as one.
	Up
)

// Batch says which batch an update is in, and how many there are, when some of the Pods that are to be updated are. A batch is as many Pods as may
// change at once; the numbers begin with 1, and there are none without Pods to update.
//
//	maxUnavailable 2, 7 Pods to update, 3 of them updated => batch 2 of 4
func Batch(l Limits, updated, wanted int) (batch, batches int) {
	size := max(l.MaxUnavailable+l.MaxSurge, 1)
	up := func(n int) int { return (n + size - 1) / size }
	return up(min(max(updated, 1), wanted)), up(wanted)
}
