// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package seeds_test applies the examples of the release notes that users know, as they stand there, and checks that each does what the notes say of it.
package seeds_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "default") }

// TestSeeds has a test for each example, by its file in testdata.
func TestSeeds(t *testing.T) {
	tests := map[string]func(*seed){
		"v0.7-partition.yaml":                testPartition,
		"v0.9-image-predownload.yaml":        testImagePredownload,
		"v0.9-revision-label.yaml":           testRevisionLabel,
		"v1.0-env-from-annotation.yaml":      testEnvFromAnnotation,
		"v1.1-launch-priority.yaml":          testLaunchPriority,
		"v1.2-partition.yaml":                testPartitionOfNearlyAll,
		"v1.3-exclude-preparing-delete.yaml": testExcludePreparingDelete,
		"walkthrough-demo-clone.yaml":        testWalkThrough,
	}
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	require.Equal(t, slices.Sorted(maps.Keys(tests)), files, "each example has a test")
	for file, test := range tests {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) { test(sow(t, file)) })
	}
}

// seed is an example in a namespace of its own.
type seed struct {
	*support.Suite
	// manifest is the example with what it leaves out.
	manifest string
}

// localImages are the images of the examples that no registry has.
var localImages = strings.NewReplacer("main-image:v1", support.ImageV1, "main-image:v2", support.ImageV2)

// sow reads an example.
func sow(t *testing.T, file string) *seed {
	t.Helper()
	s := &seed{Suite: support.Begin(t)}
	text, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	object := map[string]any{}
	require.NoError(t, yaml.Unmarshal(text, &object))
	complete(t, object)
	whole, err := yaml.Marshal(object)
	require.NoError(t, err)
	s.manifest = localImages.Replace(string(whole))
	return s
}

// complete adds what an example leaves out, and nothing that it says: a name, labels with their selector, and containers with images that run.
func complete(t *testing.T, object map[string]any) {
	t.Helper()
	if metadata, _ := object["metadata"].(map[string]any); metadata == nil {
		object["metadata"] = map[string]any{}
	}
	unless := func(value any, path ...string) {
		if _, found, _ := unstructured.NestedFieldNoCopy(object, path...); !found {
			require.NoError(t, unstructured.SetNestedField(object, value, path...))
		}
	}
	unless("sample", "metadata", "name")
	unless(map[string]any{"app": "sample"}, "spec", "selector", "matchLabels")
	labels, _, _ := unstructured.NestedMap(object, "spec", "selector", "matchLabels")
	unless(labels, "spec", "template", "metadata", "labels")
	unless([]any{map[string]any{"name": "main"}}, "spec", "template", "spec", "containers")
	unless(int64(1), "spec", "template", "spec", "terminationGracePeriodSeconds")
	containers, _, _ := unstructured.NestedSlice(object, "spec", "template", "spec", "containers")
	for i := range containers {
		if c := containers[i].(map[string]any); c["image"] == nil {
			c["image"] = support.ImageV1
			// Two servers of one Pod cannot have the same port.
			if len(containers) > 1 {
				c["image"] = support.ImageSleeper
			}
		}
	}
	require.NoError(t, unstructured.SetNestedSlice(object, containers, "spec", "template", "spec", "containers"))
}

// edit changes text of the example; what is to be changed must be there.
func (s *seed) edit(from, to string) {
	s.Helper()
	require.Contains(s, s.manifest, from)
	s.manifest = strings.ReplaceAll(s.manifest, from, to)
}

// apply applies the example as a user does.
func (s *seed) apply() {
	s.Helper()
	out, err := s.kubectl("apply", "-f", "-")
	require.NoError(s, err, out)
}

func (s *seed) kubectl(args ...string) (string, error) {
	return support.Kubectl(s.Context(), []byte(s.manifest), append([]string{"-n", s.Namespace}, args...)...)
}

// awaitUpdated waits until so many Pods are updated and all are available.
func (s *seed) awaitUpdated(name string, n int32) *kruisev1beta1.CloneSet {
	s.Helper()
	return s.WaitFor(name, "Pods are updated", func(set *kruisev1beta1.CloneSet) bool {
		return set.Status.UpdatedReplicas == n && set.Status.UpdatedAvailableReplicas == n && set.Status.AvailableReplicas == *set.Spec.Replicas
	})
}
