// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// envRef is one environment variable that follows a label or an annotation of its Pod.
type envRef struct {
	// name is that of the variable.
	name    string
	isLabel bool
	key     string
	// path is how the specification says it, such as metadata.labels['app'].
	path string
}

// envRefs lists the variables of a container that follow metadata, sorted by name.
// COMPAT: the two variables that a hot upgrade of a sidecar switches are left out: the container must not restart for them.
func envRefs(c *corev1.Container) []envRef {
	var refs []envRef
	for i := range c.Env {
		from := c.Env[i].ValueFrom
		if from == nil || from.FieldRef == nil || c.Env[i].Name == "SIDECARSET_VERSION" || c.Env[i].Name == "SIDECARSET_VERSION_ALT" {
			continue
		}
		ref := envRef{name: c.Env[i].Name, path: from.FieldRef.FieldPath}
		kind, subscript, isSubscripted := strings.Cut(ref.path, "['")
		ref.key, ref.isLabel = strings.TrimSuffix(subscript, "']"), kind == "metadata.labels"
		if isSubscripted && (ref.isLabel || kind == "metadata.annotations") {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, func(a, b envRef) int { return cmp.Compare(a.name, b.name) })
	return refs
}

// FollowsMetadata says that environment variables of a container follow labels or annotations of its Pod.
func FollowsMetadata(c *corev1.Container) bool { return len(envRefs(c)) > 0 }

// ExpectedEnvHash is the hash of the variables that follow metadata, as a container gets them that starts with these labels and annotations; zero
// when it has none.
func ExpectedEnvHash(c *corev1.Container, labels, annotations map[string]string) uint64 {
	return hashEnv(c, func(ref envRef) string {
		if ref.isLabel {
			return labels[ref.key]
		}
		return annotations[ref.key]
	})
}

// ActualEnvHash is the same hash of the environment that a container runs with.
func ActualEnvHash(c *corev1.Container, environment map[string]string) uint64 {
	return hashEnv(c, func(ref envRef) string { return environment[ref.name] })
}

// CopyFollowed copies the labels and annotations that a container's environment follows from one Pod to another. The maps of the target must be there.
func CopyFollowed(c *corev1.Container, to, from *corev1.Pod) {
	for _, ref := range envRefs(c) {
		source, target := from.Annotations, to.Annotations
		if ref.isLabel {
			source, target = from.Labels, to.Labels
		}
		if value, found := source[ref.key]; found {
			target[ref.key] = value
		}
	}
}

// hashEnv is FNV-1a over the JSON list of names and values.
// COMPAT: this is what runtime-containers-meta holds as extractedEnvFromMetadataHash.
func hashEnv(c *corev1.Container, value func(envRef) string) uint64 {
	refs := envRefs(c)
	if len(refs) == 0 {
		return 0
	}
	list := make([]corev1.EnvVar, 0, len(refs))
	for _, ref := range refs {
		list = append(list, corev1.EnvVar{Name: ref.name, Value: value(ref)})
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return 0
	}
	h := fnv.New32a()
	h.Write(raw)
	return uint64(h.Sum32())
}
