// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/controllers/loop/report"
	"github.com/keelson/keelson/controllers/plan"
)

func TestResult(t *testing.T) {
	refused := errors.New("refused")
	for name, tc := range map[string]struct {
		decision   plan.Decision
		outcome    plan.Outcome
		unreported time.Duration
		want       time.Duration
		wantError  error
	}{
		"nothing to do waits for an event": {},
		"a wake is kept": {
			decision: plan.Decision{Wake: plan.Wake{After: time.Minute}}, want: time.Minute,
		},
		"what was overtaken is planned again soon": {
			decision: plan.Decision{Wake: plan.Wake{After: time.Minute}}, outcome: plan.Outcome{Deferred: make([]plan.Deferral, 1)}, want: 100 * time.Millisecond,
		},
		"a name that is taken is tried again, but not ten times a second": {
			outcome: plan.Outcome{Deferred: []plan.Deferral{{Reason: plan.NameTaken, Action: plan.Action{Object: &corev1.Pod{}}}}}, want: 5 * time.Second,
		},
		"whatever else was overtaken does not wait for a name": {
			outcome: plan.Outcome{Deferred: []plan.Deferral{{Reason: plan.NameTaken, Action: plan.Action{Object: &corev1.Pod{}}}, {Reason: plan.Superseded}}},
			want:    100 * time.Millisecond,
		},
		"in a namespace that is being deleted nothing is tried again": {
			outcome: plan.Outcome{Deferred: []plan.Deferral{{Reason: plan.NamespaceTerminating}, {Reason: plan.NotBegun}}},
		},
		"a wake that comes sooner wins": {
			decision: plan.Decision{Wake: plan.Wake{After: time.Millisecond}}, outcome: plan.Outcome{Deferred: make([]plan.Deferral, 1)}, want: time.Millisecond,
		},
		"a status that waits is written in time": {
			decision: plan.Decision{Wake: plan.Wake{After: time.Minute}}, unreported: time.Second, want: time.Second,
		},
		"what is due soon does not wait for the back-off of a failure": {
			decision: plan.Decision{Wake: plan.Wake{After: 5 * time.Second}}, outcome: plan.Outcome{Failures: []plan.Failure{{Err: refused}}}, want: 5 * time.Second,
		},
		"nor is a failure tried again many times a second": {
			decision: plan.Decision{Wake: plan.Wake{After: time.Millisecond}}, outcome: plan.Outcome{Failures: []plan.Failure{{Err: refused}}}, want: time.Second,
		},
		"a failure is retried with back-off, and not at a fixed time": {
			decision: plan.Decision{Wake: plan.Wake{After: time.Minute}}, outcome: plan.Outcome{Failures: []plan.Failure{{Err: refused}}}, wantError: refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := report.Result(t.Context(), tc.decision, tc.outcome, tc.unreported)
			assert.ErrorIs(t, err, tc.wantError)
			assert.Equal(t, tc.want, result.RequeueAfter)
		})
	}
}
