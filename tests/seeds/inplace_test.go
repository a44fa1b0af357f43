// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package seeds_test

import (
	"encoding/json"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/tests/support"
)

// only is the one Pod of an example.
func (s *seed) only(selector string) corev1.Pod {
	s.Helper()
	pods := s.Pods(selector)
	require.Len(s, pods, 1)
	return pods[support.SortedKeys(pods)[0]]
}

// env is what the server in a Pod has in its environment under a name.
func (s *seed) env(pod, name string) string {
	s.Helper()
	var answer struct{ Env []string }
	require.NoError(s, json.Unmarshal(s.Get(pod, "8080", "/"), &answer))
	for _, variable := range answer.Env {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	return ""
}

// testEnvFromAnnotation: whoever changes the annotation changes the environment, in the same Pod.
func testEnvFromAnnotation(s *seed) {
	s.apply()
	s.WaitReady("sample")
	before := s.only(sample)
	assert.Equal(s, "... the real env value ...", s.env(before.Name, "APP_CONFIG"))
	s.edit("... the real env value ...", "another value")
	s.apply()
	s.awaitUpdated("sample", 1)
	after := s.only(sample)
	assert.Equal(s, before.UID, after.UID)
	assert.EqualValues(s, 1, support.Restarts(after, "app"))
	assert.Equal(s, "another value", s.env(after.Name, "APP_CONFIG"))
}

// testLaunchPriority: the sidecar follows the annotation and is launched first, so it is updated first, and main waits for it. The annotation of the Pod reads as in
// the notes.
func testLaunchPriority(s *seed) {
	s.apply()
	s.WaitReady("sample")
	before, witness := s.only(sample), s.Watch(sample)
	s.edit("... config v1 ...", "... config v2 ...")
	s.edit(support.ImageV1, support.ImageV2)
	s.apply()
	var first map[string]any
	begun := witness.Saw("the update has begun", func(pod corev1.Pod) bool { return pod.Annotations[pub.InPlaceUpdateStateKey] != "" })
	require.NoError(s, json.Unmarshal([]byte(begun.Annotations[pub.InPlaceUpdateStateKey]), &first))
	set := s.awaitUpdated("sample", 1)
	after := s.only(sample)
	var last map[string]any
	require.NoError(s, json.Unmarshal([]byte(after.Annotations[pub.InPlaceUpdateStateKey]), &last))

	assert.Equal(s, map[string]any{"main": support.ImageV2}, first["nextContainerImages"])
	assert.Equal(s, map[string]any{"containersRequiredReady": []any{"sidecar"}}, first["preCheckBeforeNext"])
	assert.Equal(s, [][]string{{"sidecar"}}, batches(s, first))
	assert.Equal(s, set.Status.UpdateRevision, last["revision"])
	assert.NotEmpty(s, last["updateTimestamp"])
	assert.Equal(s, []string{"main"}, support.SortedKeys(last["lastContainerStatuses"].(map[string]any)))
	assert.Equal(s, [][]string{{"sidecar"}, {"main"}}, batches(s, last))
	assert.NotContains(s, last, "nextContainerImages")
	assert.NotContains(s, last, "preCheckBeforeNext")
	assert.Equal(s, before.UID, after.UID)
	assert.EqualValues(s, 1, support.Restarts(after, "sidecar"))
	assert.EqualValues(s, 1, support.Restarts(after, "main"))
}

// batches are the containers of the batches so far.
func batches(s *seed, state map[string]any) (all [][]string) {
	s.Helper()
	var record []struct{ Containers []string }
	require.NoError(s, json.Unmarshal([]byte(support.JSON(state["containerBatchesRecord"])), &record))
	for _, batch := range record {
		all = append(all, batch.Containers)
	}
	return all
}

// testWalkThrough follows the walk-through: the answers of kubectl, then an update of which it promises that it is made in place, with one Pod of five away, and each drained
// for three seconds.
func testWalkThrough(s *seed) {
	out, err := s.kubectl("create", "-f", "-")
	require.NoError(s, err, out)
	assert.Equal(s, "cloneset.apps.kruise.io/demo-clone created\n", out)
	s.awaitUpdated("demo-clone", 5)
	table, err := s.kubectl("get", "pod", "--no-headers")
	require.NoError(s, err)
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		assert.Regexp(s, `^demo-clone-[a-z0-9]{5} +1/1 +Running +0 +\d+s$`, line)
	}
	table, err = s.kubectl("get", "clone")
	require.NoError(s, err)
	lines := strings.Split(strings.TrimSpace(table), "\n")
	require.Len(s, lines, 2)
	got := map[string]string{}
	for i, column := range strings.Fields(lines[0]) {
		got[column] = strings.Fields(lines[1])[i]
	}
	for column, want := range map[string]string{"NAME": "demo-clone", "DESIRED": "5", "UPDATED": "5", "UPDATED_READY": "5", "READY": "5", "TOTAL": "5"} {
		assert.Equal(s, want, got[column], column)
	}
	assert.Regexp(s, `^\d+s$`, got["AGE"])

	before, witness := s.Pods("app=guestbook"), s.Watch("app=guestbook")
	s.edit("demo:1.10.2", "demo:1.10.3")
	s.apply()
	s.awaitUpdated("demo-clone", 5)
	after := s.Pods("app=guestbook")
	require.Len(s, after, 5)
	for name, pod := range after {
		assert.Equal(s, before[name].UID, pod.UID)
		assert.EqualValues(s, 1, support.Restarts(pod, "guestbook"))
	}
	assert.GreaterOrEqual(s, witness.Least(), 4)
	assert.Equal(s, 5, witness.Most())
}
