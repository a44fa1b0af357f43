// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package claims_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/keelson/keelson/controllers/plan/claims"
)

const idLabel = "example.com/instance"

// template asks for so much, as in template("data", "1Gi").
func template(name, size string) corev1.PersistentVolumeClaim {
	return corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
		},
	}
}

func workload(templates ...corev1.PersistentVolumeClaim) claims.Workload {
	return claims.Workload{
		Namespace: "shop", Name: "web", Templates: templates, Labels: map[string]string{"app": "web"}, InstanceLabel: idLabel,
		Owner: &metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Set", Name: "web", UID: "set-1", Controller: ptr.To(true)},
	}
}

func named(name, instance string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{idLabel: instance}}}
}

func namesOf(all []*corev1.PersistentVolumeClaim) []string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return names
}

func podWith(claimNames ...string) *corev1.Pod {
	pod := &corev1.Pod{}
	for _, name := range claimNames {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	return pod
}

func TestAClaimIsMadeAsPublished(t *testing.T) {
	data := template("data", "1Gi")
	data.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
	data.Labels = map[string]string{"tier": "fast", "app": "other"}
	data.Annotations = map[string]string{"note": "kept", corev1.LastAppliedConfigAnnotation: "{}"}
	data.Spec.StorageClassName = ptr.To("local")
	made := workload(data).Missing("x7k2p", nil)
	require.Len(t, made, 1)
	assert.Equal(t, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       "shop",
			Name:            "data-web-x7k2p",
			Labels:          map[string]string{"tier": "fast", "app": "web", idLabel: "x7k2p"},
			Annotations:     map[string]string{"note": "kept"},
			OwnerReferences: []metav1.OwnerReference{*workload().Owner},
		},
		Spec: data.Spec,
	}, made[0])
	made[0].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("9Gi")
	assert.Equal(t, template("data", "1Gi").Spec.Resources, data.Spec.Resources, "the template stays as it was")

	w := workload(template("data", "1Gi"))
	w.Owner, w.InstanceLabel = nil, ""
	bare := w.Missing("0", nil)[0]
	assert.Equal(t, "data-web-0", bare.Name)
	assert.Empty(t, bare.OwnerReferences)
	assert.Equal(t, map[string]string{"app": "web"}, bare.Labels, "a workload that tells its claims by name alone adds no label")
}

func TestMissing(t *testing.T) {
	for name, tc := range map[string]struct {
		templates []corev1.PersistentVolumeClaim
		there     []*corev1.PersistentVolumeClaim
		pod       *corev1.Pod
		want      []string
		wantOfPod []string
	}{
		"no templates need nothing": {},
		"all are missing at first, in the order of the templates": {
			templates: []corev1.PersistentVolumeClaim{template("logs", "1Gi"), template("data", "1Gi")},
			pod:       podWith("logs-web-a", "data-web-a"),
			want:      []string{"logs-web-a", "data-web-a"},
			wantOfPod: []string{"logs-web-a", "data-web-a"},
		},
		"those that are there are not made again": {
			templates: []corev1.PersistentVolumeClaim{template("logs", "1Gi"), template("data", "1Gi")},
			there:     []*corev1.PersistentVolumeClaim{named("data-web-a", "a")},
			pod:       podWith("logs-web-a", "data-web-a"),
			want:      []string{"logs-web-a"},
			wantOfPod: []string{"logs-web-a"},
		},
		"a Pod that is older than a template does not get its claim": {
			templates: []corev1.PersistentVolumeClaim{template("logs", "1Gi"), template("data", "1Gi")},
			pod:       podWith("data-web-a"),
			want:      []string{"logs-web-a", "data-web-a"},
			wantOfPod: []string{"data-web-a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := workload(tc.templates...)
			assert.Equal(t, tc.want, namesOf(w.Missing("a", tc.there)))
			if tc.pod != nil {
				assert.Equal(t, tc.wantOfPod, namesOf(w.MissingOf(tc.pod, "a", tc.there)))
			}
		})
	}
}

func TestBind(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{
		{Name: "config"},
		{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}}}
	workload(template("data", "1Gi"), template("logs", "1Gi")).Bind(pod, "a")
	var got []string
	for _, v := range pod.Spec.Volumes {
		line := v.Name
		if v.PersistentVolumeClaim != nil {
			line += " " + v.PersistentVolumeClaim.ClaimName
		}
		got = append(got, line)
	}
	assert.Equal(t, []string{"config", "data data-web-a", "logs logs-web-a"}, got, "a volume of the same name gives way, the others stay")
	assert.True(t, claims.Uses(pod, "data-web-a"))
	assert.False(t, claims.Uses(pod, "data"))
}

func TestInventory(t *testing.T) {
	going := named("data-web-d", "d")
	going.DeletionTimestamp = &metav1.Time{}
	inventory := claims.Sort([]*corev1.PersistentVolumeClaim{
		named("logs-web-b", "b"), named("data-web-c", "c"), named("data-web-b", "b"), named("unlabelled", ""), named("data-web-a", "a"),
		going, named("logs-web-d", "d"),
	}, idLabel)
	assert.Equal(t, []string{"data-web-b", "logs-web-b"}, namesOf(inventory.Of("b")))
	assert.Equal(t, []string{"data-web-d", "logs-web-d"}, namesOf(inventory.Of("d")))
	assert.Empty(t, inventory.Of("z"))
	assert.Empty(t, inventory.Of(""))
	assert.Empty(t, claims.Inventory{}.Of("a"))

	var asked []string
	free := inventory.Free(func(instance string, all []*corev1.PersistentVolumeClaim) bool {
		asked = append(asked, instance+": "+strings.Join(namesOf(all), " "))
		return instance != "a"
	})
	assert.Equal(t, []string{"b", "c"}, free)
	assert.Equal(t, []string{"a: data-web-a", "b: data-web-b logs-web-b", "c: data-web-c"}, asked, "one that is being deleted is not asked about")
}

func TestFate(t *testing.T) {
	for name, tc := range map[string]struct {
		holder              claims.Holder
		wantOnce, wantReuse claims.Fate
	}{
		"a Pod that counts keeps its claims":                {claims.Counting, claims.Stay, claims.Stay},
		"one that ends takes them along, or leaves them":    {claims.Leaving, claims.Follow, claims.Stay},
		"one that was to go takes them along":               {claims.Dismissed, claims.Follow, claims.Follow},
		"one that was let go takes them along":              {claims.Released, claims.Follow, claims.Follow},
		"claims without a Pod are deleted, or wait for one": {claims.Gone, claims.Drop, claims.Free},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.wantOnce, claims.Policy{}.Fate(tc.holder))
			assert.Equal(t, tc.wantReuse, claims.Policy{Reuse: true}.Fate(tc.holder))
		})
	}
}

func TestHandOver(t *testing.T) {
	claim := workload(template("data", "1Gi")).Missing("a", nil)[0]
	claim.OwnerReferences = append(claim.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "other-1"})
	change := claims.HandOver("set-1", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-a", UID: "pod-1"}})
	assert.Empty(t, change.Subresource)
	raw, err := yaml.Marshal(claim)
	require.NoError(t, err)
	raw, err = yaml.YAMLToJSON(raw)
	require.NoError(t, err)
	merged, err := strategicpatch.StrategicMergePatch(raw, change.Patch, corev1.PersistentVolumeClaim{})
	require.NoError(t, err)
	var after corev1.PersistentVolumeClaim
	require.NoError(t, yaml.Unmarshal(merged, &after))
	assert.ElementsMatch(t, []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Pod", Name: "web-a", UID: "pod-1", Controller: new(true)},
		{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "other-1"},
	}, after.OwnerReferences, "the workload goes, others stay, and the one Pod controls it")
	two := claims.HandOver("set-1", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-a", UID: "pod-1"}}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "debug", UID: "pod-2"}})
	assert.NotContains(t, string(two.Patch), "controller", "of two none does")
}

func TestHash(t *testing.T) {
	base := []corev1.PersistentVolumeClaim{template("data", "1Gi"), template("logs", "2Gi")}
	with := func(change func(c *corev1.PersistentVolumeClaim)) []corev1.PersistentVolumeClaim {
		first := *base[0].DeepCopy()
		change(&first)
		return []corev1.PersistentVolumeClaim{first, base[1]}
	}
	filesystem, block := corev1.PersistentVolumeFilesystem, corev1.PersistentVolumeBlock
	for name, tc := range map[string]struct {
		templates []corev1.PersistentVolumeClaim
		wantSame  bool
	}{
		"the order means nothing":      {[]corev1.PersistentVolumeClaim{base[1], base[0]}, true},
		"the same size in other words": {with(func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources = template("", "1024Mi").Spec.Resources }), true},
		"the default mode in words":    {with(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &filesystem }), true},
		"labels and annotations": {with(func(c *corev1.PersistentVolumeClaim) {
			c.Labels, c.Annotations = map[string]string{"a": "b"}, map[string]string{"a": "b"}
		}), true},
		"another size":                          {with(func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources = template("", "2Gi").Spec.Resources }), false},
		"another class":                         {with(func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("fast") }), false},
		"another mode":                          {with(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block }), false},
		"another name":                          {with(func(c *corev1.PersistentVolumeClaim) { c.Name = "store" }), false},
		"one template less":                     {base[:1], false},
		"one template that is there two times":  {append(base[:2:2], base[0]), false},
		"names that are swapped between specs ": {[]corev1.PersistentVolumeClaim{template("logs", "1Gi"), template("data", "2Gi")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.wantSame, claims.Hash(base) == claims.Hash(tc.templates))
		})
	}
	assert.Regexp(t, `^[0-9]{1,20}$`, claims.Hash(base))
	assert.Equal(t, "6038909719318505457", claims.Hash(base), "the same in every release, else an upgrade looks like a change")
	assert.Empty(t, claims.Hash(nil))
}

func TestFits(t *testing.T) {
	block := corev1.PersistentVolumeBlock
	for name, tc := range map[string]struct {
		change func(template *corev1.PersistentVolumeClaim)
		want   bool
	}{
		"what was made from the same template":                   {func(*corev1.PersistentVolumeClaim) {}, true},
		"a volume that is larger than what is asked for now":     {func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources = template("", "500Mi").Spec.Resources }, true},
		"a volume that is smaller than what is asked for now":    {func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources = template("", "2Gi").Spec.Resources }, false},
		"a class that is named now where the cluster filled one": {func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("fast") }, false},
		"another mode": {func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block }, false},
		"another access mode": {func(c *corev1.PersistentVolumeClaim) {
			c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		}, false},
		"a template whose claim is not there": {func(c *corev1.PersistentVolumeClaim) { c.Name = "logs" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			there := workload(template("data", "1Gi")).Missing("a", nil)
			there[0].Spec.StorageClassName = ptr.To("standard")
			asked := template("data", "1Gi")
			tc.change(&asked)
			assert.Equal(t, tc.want, workload(asked).Fits("a", there))
			assert.Equal(t, asked.Name == "data", workload(asked).HasAny("a", there))
		})
	}
}
