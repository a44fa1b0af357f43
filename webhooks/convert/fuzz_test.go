// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"encoding/json"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/randfill"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/webhooks/convert"
)

const rounds = 2000

// INVARIANT: there and back again gives the object that was there, whichever version it was written in.
func TestRoundTripOfTypedObjects(t *testing.T) {
	filler := randfill.NewWithSeed(1).NilChance(.4).NumElements(0, 3).Funcs(fillers()...)
	for range rounds {
		a, b := &kruisev1alpha1.CloneSet{}, &kruisev1beta1.CloneSet{}
		filler.Fill(a)
		filler.Fill(b)
		a.APIVersion, a.Kind, b.APIVersion, b.Kind = alpha, "CloneSet", beta, "CloneSet"

		again := &kruisev1alpha1.CloneSet{}
		decode(t, roundTrip(t, encode(t, a), beta), again)
		require.True(t, apiequality.Semantic.DeepEqual(a, again), "%s", encode(t, a))
		back := &kruisev1beta1.CloneSet{}
		decode(t, roundTrip(t, encode(t, b), alpha), back)
		require.True(t, apiequality.Semantic.DeepEqual(b, back), "%s", encode(t, b))
	}
}

// INVARIANT: there and back again gives the object that was there, whichever version it was written in.
func TestRoundTripOfWhateverJSON(t *testing.T) {
	random := rand.New(rand.NewSource(2))
	for range rounds {
		for from, to := range map[string]string{alpha: beta, beta: alpha} {
			obj := randomCloneSet(random, from)
			there := converted(t, obj, to)
			back := converted(t, there, from)
			require.Equal(t, bytes(t, obj), bytes(t, back), "by way of %s", bytes(t, there))
			require.Equal(t, bytes(t, there), bytes(t, converted(t, back, to)), "a second time")
		}
	}
}

// INVARIANT: what an annotation of ours says never changes the meaning of an object in the version that carries it.
func TestEditsAfterAConversionKeepTheirMeaning(t *testing.T) {
	random := rand.New(rand.NewSource(3))
	for range rounds {
		for from, to := range map[string]string{alpha: beta, beta: alpha} {
			obj := converted(t, randomCloneSet(random, from), to)
			edit(random, obj, to)
			want := meaning(t, obj, from)
			edited := converted(t, obj, from)
			require.Equal(t, bytes(t, forget(obj)), bytes(t, forget(converted(t, edited, to))), "the edit comes back as it was written")
			require.Equal(t, bytes(t, want), bytes(t, meaning(t, edited, to)))
		}
	}
}

// meaning is what an object says in a version when nothing kept is looked at, translated to the other version and back as
// often as it takes for every way of saying the same to become one.
func meaning(t *testing.T, obj map[string]any, by string) map[string]any {
	t.Helper()
	home := obj["apiVersion"].(string)
	for _, version := range []string{by, home, by, home} {
		obj = forget(converted(t, forget(obj), version))
	}
	if home != alpha {
		obj = forget(converted(t, obj, alpha))
	}
	return obj
}

func forget(obj map[string]any) map[string]any {
	metadata, _ := obj["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	annotations, _ := metadata["annotations"].(map[string]any)
	annotations = maps.Clone(annotations)
	delete(annotations, convert.HubFieldsAnnotation)
	delete(annotations, convert.SpokeFieldsAnnotation)
	result := maps.Clone(obj)
	if metadata == nil {
		return result
	}
	metadata["annotations"] = annotations
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	result["metadata"] = metadata
	return result
}

func fillers() []any {
	return []any{
		func(v *metav1.Time, _ randfill.Continue) { *v = metav1.Unix(1_700_000_000, 0) },
		func(v *metav1.ObjectMeta, c randfill.Continue) {
			v.Name = "web"
			c.Fill(&v.Labels)
			c.Fill(&v.Annotations)
			if c.Bool() {
				v.Labels = map[string]string{kruisev1alpha1.CloneSetScalingExcludePreparingDeleteKey: "true"}
				v.Annotations = map[string]string{kruisev1alpha1.ImagePreDownloadParallelismKey: "3"}
			}
		},
		func(v *corev1.PodTemplateSpec, c randfill.Continue) {
			c.Fill(&v.Labels)
			v.Spec.Containers = []corev1.Container{{Name: c.String(8), Image: c.String(8)}}
		},
		func(v *kruisev1beta1.CloneSetSpec, c randfill.Continue) {
			c.FillNoCustom(v)
			v.Undecoded = ""
		},
		func(v *corev1.PersistentVolumeClaim, c randfill.Continue) { v.Name = c.String(8) },
		func(v *intstr.IntOrString, c randfill.Continue) {
			*v = []intstr.IntOrString{
				intstr.FromInt32(c.Int31()), intstr.FromInt32(-3), intstr.FromString("20%"), intstr.FromString(c.String(8)),
			}[c.Intn(4)]
		},
		func(v *kruisev1alpha1.CloneSetUpdateStrategyType, c randfill.Continue) {
			*v = []kruisev1alpha1.CloneSetUpdateStrategyType{"", "ReCreate", "InPlaceIfPossible", "InPlaceOnly", "OnDelete"}[c.Intn(5)]
		},
		func(v *kruisev1beta1.CloneSetUpdateStrategyType, c randfill.Continue) {
			*v = []kruisev1beta1.CloneSetUpdateStrategyType{"", "RollingUpdate", "OnDelete"}[c.Intn(3)]
		},
		func(v *kruisev1beta1.PodUpdatePolicyType, c randfill.Continue) {
			*v = []kruisev1beta1.PodUpdatePolicyType{"", "ReCreate", "InPlaceIfPossible", "InPlaceOnly"}[c.Intn(4)]
		},
	}
}

// randomCloneSet makes an object out of everything that the two versions could trip over.
func randomCloneSet(random *rand.Rand, version string) map[string]any {
	obj := map[string]any{"apiVersion": version, "kind": "CloneSet", "metadata": map[string]any{"name": "web"}}
	obj["spec"] = map[string]any{"template": map[string]any{"unknown": []any{int64(1), 2.5, "<&>"}}}
	for range 1 + random.Intn(9) {
		edit(random, obj, version)
	}
	return obj
}

func edit(random *rand.Rand, obj map[string]any, version string) {
	paths := choices(version)
	keys := slices.SortedFunc(maps.Keys(paths), func(a, b [4]string) int { return slices.Compare(a[:], b[:]) })
	path := keys[random.Intn(len(keys))]
	values := paths[path]
	set(obj, path, values[random.Intn(len(values))])
}

func choices(version string) map[[4]string][]any {
	numbers := []any{int64(0), int64(3), int64(-3), "20%", "x", "3", nil}
	flags := []any{true, false, nil}
	// No schema takes another type or policy, and none is kept.
	types := map[string][]any{alpha: {"", "ReCreate", "InPlaceOnly", "OnDelete", nil}, beta: {"", "OnDelete", "RollingUpdate", nil}}[version]
	excluded := [4]string{"metadata", "labels", kruisev1alpha1.CloneSetScalingExcludePreparingDeleteKey}
	all := map[[4]string][]any{
		excluded:                         {"true", "false", nil},
		{"metadata", "labels", "a"}:      {"b", nil},
		{"metadata", "annotations", "a"}: {"b", nil},
		{"metadata", "annotations", convert.HubFieldsAnnotation}:   {nil},
		{"metadata", "annotations", convert.SpokeFieldsAnnotation}: {nil},
		{"spec", "replicas"}:                                           {int64(5), nil},
		{"spec", "unknown"}:                                            {map[string]any{"a": "b"}, nil},
		{"spec", "scaleStrategy"}:                                      {map[string]any{}, nil},
		{"spec", "scaleStrategy", "podsToDelete"}:                      {[]any{"a"}, nil},
		{"spec", "scaleStrategy", "disablePVCReuse"}:                   flags,
		{"spec", "scaleStrategy", "enablePVCReuse"}:                    flags,
		{"spec", "scaleStrategy", "excludePreparingDelete"}:            flags,
		{"spec", "updateStrategy"}:                                     {map[string]any{}, nil},
		{"spec", "updateStrategy", "unknown"}:                          {map[string]any{}, nil},
		{"spec", "updateStrategy", "partition"}:                        numbers,
		{"spec", "updateStrategy", "inPlaceUpdateStrategy"}:            {map[string]any{}, map[string]any{"imagePreDownloadParallelism": int64(7)}, nil},
		{"spec", "updateStrategy", "podUpdatePolicy"}:                  {"ReCreate", nil},
		{"spec", "updateStrategy", "type"}:                             types,
		{"spec", "updateStrategy", "rollingUpdate"}:                    {map[string]any{}, nil},
		{"spec", "updateStrategy", "rollingUpdate", "type"}:            {"OnDelete", nil},
		{"spec", "updateStrategy", "rollingUpdate", "partition"}:       numbers,
		{"spec", "updateStrategy", "rollingUpdate", "podUpdatePolicy"}: {"", "ReCreate", "InPlaceOnly", nil},
		{"spec", "updateStrategy", "rollingUpdate", "inPlaceUpdateStrategy"}: {
			map[string]any{}, map[string]any{"gracePeriodSeconds": int64(1)}, map[string]any{"imagePreDownloadParallelism": "x"},
			map[string]any{"imagePreDownloadParallelism": int64(7)}, map[string]any{"imagePreDownloadTimeoutSeconds": int64(7)},
			map[string]any{"imagePreDownloadMinUpdatedReadyPods": int64(1) << 40}, nil,
		},
	}
	for _, key := range []string{
		kruisev1alpha1.ImagePreDownloadParallelismKey, kruisev1alpha1.ImagePreDownloadTimeoutSecondsKey,
		kruisev1alpha1.ImagePreDownloadMinUpdatedReadyPodsKey,
	} {
		all[[4]string{"metadata", "annotations", key}] = []any{"3", "+3", "-3", "20%", "x", "", nil}
	}
	other := map[string]string{alpha: convert.SpokeFieldsAnnotation, beta: convert.HubFieldsAnnotation}[version]
	all[[4]string{"metadata", "annotations", other}] = []any{"{}", `{"labels":{"a":null}}`, nil}
	return all
}

// set writes a value, or removes it when it is nil; maps on the way are made, and removed when they are left empty in metadata,
// as no client sends such.
func set(obj map[string]any, path [4]string, value any) {
	fields := slices.DeleteFunc(slices.Clone(path[:]), func(field string) bool { return field == "" })
	parent := obj
	for _, field := range fields[:len(fields)-1] {
		child, ok := parent[field].(map[string]any)
		if !ok {
			if value == nil {
				return
			}
			child = map[string]any{}
			parent[field] = child
		}
		parent = child
	}
	last := fields[len(fields)-1]
	if value != nil {
		parent[last] = copied(value)
		return
	}
	delete(parent, last)
	if fields[0] == "metadata" && len(parent) == 0 {
		delete(obj["metadata"].(map[string]any), fields[1])
	}
}

func copied(value any) any {
	if m, ok := value.(map[string]any); ok {
		return maps.Clone(m)
	}
	return value
}

func roundTrip(t *testing.T, obj map[string]any, by string) map[string]any {
	t.Helper()
	home := obj["apiVersion"].(string)
	return converted(t, converted(t, obj, by), home)
}

func encode(t *testing.T, obj any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(obj)
	require.NoError(t, err)
	result := map[string]any{}
	require.NoError(t, utiljson.Unmarshal(raw, &result))
	return result
}

func decode(t *testing.T, from map[string]any, to any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(bytes(t, from)), to))
}
