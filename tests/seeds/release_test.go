// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package seeds_test

import (
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

const sample = "app=sample"

// testPartition: 80% of five Pods stay at the old version, and a number may stand there, too.
func testPartition(s *seed) {
	s.edit("\nspec:\n", "\nspec:\n  replicas: 5\n")
	s.apply()
	s.WaitReady("sample")
	s.edit(support.ImageV1, support.ImageV2)
	s.apply()
	assert.EqualValues(s, 1, s.awaitUpdated("sample", 1).Status.ExpectedUpdatedReplicas)
	s.Never("more than 20% are updated", 3*time.Second, func() bool { return s.CloneSet("sample").Status.UpdatedReplicas != 1 })
	s.edit("partition: 80%", "partition: 2")
	s.apply()
	s.awaitUpdated("sample", 3)
	s.edit("partition: 2", "partition: 0")
	s.apply()
	s.awaitUpdated("sample", 5)
}

// testPartitionOfNearlyAll: 90% of eight Pods are all of them, rounded up, and yet one is updated. The status becomes the one that the example shows.
func testPartitionOfNearlyAll(s *seed) {
	var example kruisev1alpha1.CloneSet
	require.NoError(s, yaml.Unmarshal([]byte(s.manifest), &example))
	s.apply()
	s.WaitReady("sample")
	s.edit(support.ImageV1, support.ImageV2)
	s.apply()
	s.awaitUpdated("sample", 1)
	s.Never("another Pod is updated", 3*time.Second, func() bool { return s.CloneSet("sample").Status.UpdatedReplicas != 1 })
	set := &kruisev1alpha1.CloneSet{}
	require.NoError(s, s.Resources.Get(s.Context(), "sample", s.Namespace, set))
	assert.Equal(s, example.Status.Replicas, set.Status.Replicas)
	assert.Equal(s, example.Status.ExpectedUpdatedReplicas, set.Status.ExpectedUpdatedReplicas)
	assert.Equal(s, example.Status.UpdatedReplicas, set.Status.UpdatedReplicas)
	assert.Equal(s, example.Status.UpdatedReadyReplicas, set.Status.UpdatedReadyReplicas)
}

// testImagePredownload: the annotation is understood in both versions, and an update in place is not in its way. Nothing is pulled in advance yet.
func testImagePredownload(s *seed) {
	s.apply()
	set := s.WaitReady("sample")
	require.NotNil(s, set.Spec.UpdateStrategy.RollingUpdate)
	inPlace := set.Spec.UpdateStrategy.RollingUpdate.InPlaceUpdateStrategy
	require.NotNil(s, inPlace)
	require.NotNil(s, inPlace.ImagePreDownloadParallelism)
	assert.Equal(s, "5", inPlace.ImagePreDownloadParallelism.String())
	old := &kruisev1alpha1.CloneSet{}
	require.NoError(s, s.Resources.Get(s.Context(), "sample", s.Namespace, old))
	assert.Equal(s, "5", old.Annotations["apps.kruise.io/image-predownload-parallelism"])
	s.edit(support.ImageV1, support.ImageV2)
	s.apply()
	s.awaitUpdated("sample", 1)
}

// testRevisionLabel: the label of a Pod is the full name of its revision, <set>-<hash>, the hash of 8 to 10 characters.
func testRevisionLabel(s *seed) {
	var example corev1.Pod
	require.NoError(s, yaml.Unmarshal([]byte(s.manifest), &example))
	label := example.Labels["controller-revision-hash"]
	name := label[:strings.LastIndex(label, "-")]
	require.Equal(s, "demo-cloneset", name)
	s.Create(support.MakeCloneSet(name).Replicas(1).Obj())
	set := s.WaitReady(name)
	for _, pod := range s.Pods("app=" + name) {
		assert.Regexp(s, `^demo-cloneset-[0-9a-z]{8,10}$`, pod.Labels["controller-revision-hash"])
		assert.Equal(s, set.Status.UpdateRevision, pod.Labels["controller-revision-hash"])
	}
}

// testExcludePreparingDelete: with the label, a Pod that waits for its deletion is replaced at once when it was named; when it was only too many, it comes back.
func testExcludePreparingDelete(s *seed) {
	s.edit("\nspec:\n", "\nspec:\n  replicas: 2\n  lifecycle: {preDelete: {labelsHandler: {example.com/hold: \"true\"}}}\n")
	s.edit("        app: sample\n    spec:", "        app: sample\n        example.com/hold: \"true\"\n    spec:")
	s.apply()
	s.WaitReady("sample")
	before := s.Pods(sample)
	waiting := func() (names []string) {
		for name, pod := range s.Pods(sample) {
			if pod.Labels["lifecycle.apps.kruise.io/state"] == "PreparingDelete" {
				names = append(names, name)
			}
		}
		return names
	}
	s.edit("replicas: 2", "replicas: 1")
	s.apply()
	s.Eventually("one of two is too many and waits", func() bool { return len(waiting()) == 1 })
	s.edit("replicas: 1", "replicas: 2")
	s.apply()
	s.Eventually("it comes back", func() bool { return len(waiting()) == 0 })
	s.WaitReady("sample")
	assert.Equal(s, support.SortedKeys(before), support.SortedKeys(s.Pods(sample)))

	s.edit("replicas: 2", "replicas: 1")
	named := support.SortedKeys(before)[0]
	s.edit("\nspec:\n", "\nspec:\n  scaleStrategy: {podsToDelete: ["+named+"]}\n")
	s.apply()
	s.Eventually("the named one waits", func() bool { return len(waiting()) == 1 && waiting()[0] == named })
	s.edit("replicas: 1", "replicas: 2")
	s.apply()
	s.Eventually("another is created while it waits", func() bool { return len(s.Pods(sample)) == 3 && len(waiting()) == 1 })

	// Without a change of the replicas.
	other := support.SortedKeys(before)[1]
	s.Patch(&corev1.Pod{}, other, `{"metadata":{"labels":{"`+kruisev1beta1.SpecifiedDeleteKey+`":"true"}}}`)
	s.Eventually("another is created while the labelled one waits", func() bool { return len(s.Pods(sample)) == 4 && len(waiting()) == 2 })
	for _, name := range waiting() {
		s.Patch(&corev1.Pod{}, name, `{"metadata":{"labels":{"example.com/hold":null}}}`)
	}
	s.Eventually("they go when their hook lets go", func() bool { return len(s.Pods(sample)) == 2 })
	s.WaitReady("sample")
}
