// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
)

// told are all events that the plans of a stage meant to emit, whatever became of their writes, in the words of the stage.
type told map[string]bool

func (t told) listen(s *stage, d plan.Decision) {
	for _, e := range d.Events {
		t.add(s, e)
	}
	t.of(s, d.Actions)
}

func (t told) of(s *stage, actions []plan.Action) {
	for _, a := range actions {
		t.add(s, a.Done)
		t.add(s, a.Failed)
		t.of(s, a.First)
		t.of(s, a.Then)
	}
}

func (t told) add(s *stage, e plan.Event) {
	if e.Type != "" {
		t[s.Shorten(fmt.Sprintf("%s %s %s", e.Type, e.Reason, e.Message))] = true
	}
}

// rest lets all that can happen happen, and listens.
func (t told) rest(s *stage) {
	s.t.Helper()
	for range turns {
		t.listen(s, s.controller.Plan(s.World))
		if pass := s.Reconcile(); !pass.IsIdle() {
			continue
		}
		if len(s.Steps()) == 0 {
			return
		}
		s.takeAny()
	}
	assert.Fail(s.t, "the stage never comes to rest")
}

func TestEventsSayWhatIsPublished(t *testing.T) {
	s, heard := newStage(t, MakeCloneSet("web").Replicas(2).Volume("data").Obj()), told{}
	heard.rest(s)
	s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
	heard.rest(s)
	s.User("sets the image to app:v3, in place, and a limit on scaling", func(b *builder) {
		b.Image("app:v3").InPlaceIfPossible().set.Spec.ScaleStrategy.MaxUnavailable = numberOrPart("1")
	})
	heard.rest(s)
	s.User("scales to 5", func(b *builder) { b.Replicas(5) })
	heard.rest(s)
	s.Script.Scene("somebody deletes a Pod")
	s.DeletePod(s.Pods()[0].Name)
	heard.rest(s)
	s.User("scales to 0", func(b *builder) { b.Replicas(0) })
	heard.rest(s)
	for _, want := range []string{
		"Normal SuccessfulCreate succeed to create pod web-a",
		"Warning FailedCreate failed to create pod: {error}, pod: {object}",
		"Warning FailedCreate failed to create pvc: {error}, pvc: {object}",
		"Normal SuccessfulDelete succeed to delete pod web-a",
		"Warning FailedDelete failed to delete pod web-a: {error}",
		"Warning FailedDelete failed to delete pvc data-web-a: {error}",
		"Warning FailedUpdate failed to update PVC data-web-c: {error}",
		"Warning ScaleUpLimited scaleUp is limited because of scaleStrategy.maxUnavailable, limit: 1",
		"Normal SuccessfulUpdatePodInPlace successfully update pod web-c in-place(revision r3)",
		"Warning FailedUpdatePodInPlace failed to update pod web-c in-place(revision r3): {error}",
		"Normal SuccessfulUpdatePodReCreate successfully patch pod web-a specified-delete for update(revision r2)",
		"Warning FailedUpdatePodReCreate failed to patch pod specified-delete web-a for update(revision r2): {error}",
	} {
		assert.Contains(t, heard, want)
	}
	for e := range heard {
		assert.NotContains(t, e, "Normal SuccessfulDelete succeed to delete pvc", "a claim goes without a word")
	}
}

func TestAClaimThatIsCleanedUpInVainIsTold(t *testing.T) {
	s, heard := newStage(t, MakeCloneSet("web").Replicas(1).Volume("data").ReuseVolumes().Obj()), told{}
	heard.rest(s)
	s.User("scales to 0", func(b *builder) { b.Replicas(0) })
	s.Script.Scene("somebody deletes the Pod first")
	s.DeletePod("web-a")
	heard.rest(s)
	s.User("does not reuse claims any more", func(b *builder) { b.set.Spec.ScaleStrategy.EnablePVCReuse = false })
	heard.rest(s)
	assert.Contains(t, heard, "Warning FailedDelete failed to clean up PVC data-web-a: {error}")
}

func TestANamespaceThatIsBeingDeletedIsNoFailure(t *testing.T) {
	s := newStage(t, MakeCloneSet("web").Replicas(2).Obj())
	s.Reconcile()
	d := s.controller.Plan(s.World)
	refused := plan.Outcome{Deferred: []plan.Deferral{{Action: d.Actions[0], Reason: plan.NamespaceTerminating}}}
	set := &kruisev1beta1.CloneSet{Status: s.controller.pass.Status(refused)}
	ready := findCondition(set, kruisev1beta1.CloneSetConditionReady)
	assert.Equal(t, "NamespaceTerminating", ready.Reason)
	assert.Equal(t, "0 of 2 updated, 0 available, nothing more is created: the namespace is being deleted", ready.Message)
	assert.Empty(t, findCondition(set, kruisev1beta1.CloneSetConditionFailedScale).Type)
}
