// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// turns is how long a story may go on until it is at rest.
const turns = 500

// stage is where a story plays.
type stage struct {
	*sim.Play
	t          *testing.T
	controller *simulated
}

func newStage(t *testing.T, set *kruisev1beta1.CloneSet) *stage {
	t.Helper()
	world := sim.NewWorld()
	world.Script = &sim.Script{}
	controller := simulate(set)
	return &stage{Play: sim.NewPlay(world, controller), t: t, controller: controller}
}

// Given brings the set to rest before the story begins.
func (s *stage) Given(sentence string) {
	s.t.Helper()
	s.Script.Omit(func() { s.Rest() })
	s.Script.Scene("given %s", sentence)
	s.Script.Tell("", "%s", s.Shorten(s.controller.Counts(s.World)))
}

// User changes the spec.
func (s *stage) User(what string, change func(b *builder)) {
	s.Script.Scene("the user %s", what)
	s.controller.Edit(func(set *kruisev1beta1.CloneSet) { change(&builder{set}) })
}

// Rest lets all that can happen happen.
func (s *stage) Rest() {
	s.t.Helper()
	require.True(s.t, s.Settle(turns), "the story never comes to rest:\n%s", s.Script.Tail(40))
}

// Do lets the scheduler or a kubelet do one thing.
func (s *stage) Do(steps ...string) {
	s.t.Helper()
	for _, step := range steps {
		require.True(s.t, s.Take(step), "%q is not possible now, but %v", step, s.Steps())
	}
}

// Pod is a Pod that must be there.
func (s *stage) Pod(name string) *corev1.Pod {
	s.t.Helper()
	pod := s.World.Pod(name)
	require.NotNil(s.t, pod, "Pod %s is gone", name)
	return pod
}

// Tally counts the Pods as their users would.
func (s *stage) Tally() sim.Tally { return s.controller.Promise(s.World).Tally(s.Pods(), s.Now) }

// UIDs are the identities of all Pods by name.
func (s *stage) UIDs() map[string]string {
	uids := map[string]string{}
	for _, pod := range s.Pods() {
		uids[pod.Name] = string(pod.UID)
	}
	return uids
}

// story is one screenplay: what happens on the stage, against the golden file of its name.
type story struct {
	set  *kruisev1beta1.CloneSet
	play func(s *stage)
	// allowed are the invariants that it breaks on purpose.
	allowed []string
}

func TestStories(t *testing.T) {
	for _, stories := range []map[string]story{
		takeOverStories(), scaleStories(), inPlaceStories(), updateStories(), troubleStories(), historyStories(), orderStories(), countingStories(),
		claimStories(),
		envStories(), batchStories(), resizeStories(), nativeSidecarStories(),
		lifecycleStories(), deletionStories(), progressStories(), publishedStories(),
	} {
		for sentence, tale := range stories {
			t.Run(sentence, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, tale.set)
				s.Allowed = tale.allowed
				tale.play(s)
				require.Empty(t, s.Breaches(), "the end of the script:\n%s", s.Script.Tail(30))
				require.Empty(t, s.controller.overtaken)
				compare(t, sentence, s.Script.String())
			})
		}
	}
}

// compare holds a script against its golden file, or writes that when UPDATE_GOLDEN is 1.
func compare(t *testing.T, sentence, script string) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(strings.ToLower(sentence), " ", "-")+".golden")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(script), 0o644))
		return
	}
	golden, err := os.ReadFile(file)
	require.NoError(t, err, "run with UPDATE_GOLDEN=1 to write it")
	require.Equal(t, string(golden), script, "the story goes another way; run with UPDATE_GOLDEN=1 if it should")
}
