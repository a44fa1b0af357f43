// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/nodeagent/cri"
	"github.com/keelson/keelson/nodeagent/meta"
)

// made is when the first containers of the tests were created.
var made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// container is one that runs, created some seconds later than the first.
func container(name, id string, seconds int, restarts int32) cri.Container {
	return cri.Container{ID: id, Name: name, Created: made.Add(time.Duration(seconds) * time.Second), Running: true, RestartCount: restarts, SpecHash: 0xcafe}
}

// makePod is a Pod of a CloneSet with containers main and helper, and perhaps a report.
func makePod(report ...string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "apps.kruise.io/v1beta1", Kind: "CloneSet", Name: "web", UID: "1", Controller: new(true),
		}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}, {Name: "helper"}}},
	}
	if len(report) > 0 {
		pod.Annotations = map[string]string{pub.RuntimeContainerMetaKey: report[0]}
	}
	return pod
}

const both = `{"containers":[` +
	`{"name":"main","containerID":"containerd://m1","restartCount":0,"hashes":{"plainHash":51966}},` +
	`{"name":"helper","containerID":"containerd://h1","restartCount":0,"hashes":{"plainHash":51966}}]}`

const mainAlone = `{"containers":[{"name":"main","containerID":"containerd://m1","restartCount":0,"hashes":{"plainHash":51966}}]}`

func TestPlan(t *testing.T) {
	first := []cri.Container{container("helper", "h1", 1, 0), container("main", "m1", 0, 0)}
	tests := map[string]struct {
		pod        *corev1.Pod
		running    []cri.Container
		wantValue  string
		wantWrite  bool
		wantBroken string
	}{
		"a Pod without a report gets one, in the order of its specification": {
			pod: makePod(), running: first, wantValue: both, wantWrite: true,
		},
		"a report that is right is not written again": {
			pod: makePod(both), running: first, wantValue: both,
		},
		"a report that says the same in other bytes is not written again": {
			pod: makePod(" " + both + "\n"), running: first, wantValue: both,
		},
		"nothing is said while the runtime knows no container": {
			pod: makePod("{"),
		},
		"a container that has not been created yet is left out": {
			pod: makePod(), running: first[1:], wantValue: mainAlone, wantWrite: true,
		},
		"a container that is no longer in the report is added": {
			pod: makePod(mainAlone), running: first, wantValue: both, wantWrite: true,
		},
		"after a restart the newer container counts": {
			pod:       makePod(mainAlone),
			running:   []cri.Container{container("main", "m2", 60, 1), container("main", "m1", 0, 0)},
			wantValue: `{"containers":[{"name":"main","containerID":"containerd://m2","restartCount":1,"hashes":{"plainHash":51966}}]}`,
			wantWrite: true,
		},
		"a container that the Pod does not list is not reported": {
			pod: makePod(), running: append([]cri.Container{container("setup", "i1", 0, 0)}, first...), wantValue: both, wantWrite: true,
		},
		"a hash that another recorded of the same container stays": {
			pod:       makePod(`{"containers":[{"name":"main","containerID":"containerd://m1","restartCount":7,"hashes":{"plainHash":1,"extractedEnvFromMetadataHash":9}}]}`),
			running:   first[1:],
			wantValue: `{"containers":[{"name":"main","containerID":"containerd://m1","restartCount":0,"hashes":{"plainHash":51966,"extractedEnvFromMetadataHash":9}}]}`,
			wantWrite: true,
		},
		"a hash that another recorded of an earlier container goes": {
			pod:       makePod(`{"containers":[{"name":"main","containerID":"containerd://m0","restartCount":0,"hashes":{"plainHash":51966,"extractedEnvFromMetadataHash":9}}]}`),
			running:   first[1:],
			wantValue: mainAlone,
			wantWrite: true,
		},
		"that the hook of a container was started stays": {
			pod:       makePod(`{"containers":[{"name":"main","containerID":"containerd://m1","restartCount":0,"hashes":{"plainHash":51966},"preStopHookStarted":true}]}`),
			running:   first[1:],
			wantValue: `{"containers":[{"name":"main","containerID":"containerd://m1","restartCount":0,"hashes":{"plainHash":51966},"preStopHookStarted":true}]}`,
		},
		"that the hook of an earlier container was started goes": {
			pod:       makePod(`{"containers":[{"name":"main","containerID":"containerd://m0","restartCount":0,"hashes":{"plainHash":51966},"preStopHookStarted":true}]}`),
			running:   first[1:],
			wantValue: mainAlone,
			wantWrite: true,
		},
		"broken JSON is replaced": {
			pod: makePod(`{"containers":[`), running: first, wantValue: both, wantWrite: true, wantBroken: "unexpected end of JSON input",
		},
		"an empty annotation is replaced": {
			pod: makePod(""), running: first, wantValue: both, wantWrite: true, wantBroken: "unexpected end of JSON input",
		},
		"a wrong type is replaced even if the rest would do": {
			pod:       makePod(`{"containers":[{"name":"main","containerID":"containerd://m1","restartCount":"zero","hashes":{"plainHash":51966}}]}`),
			running:   first[1:],
			wantValue: mainAlone, wantWrite: true, wantBroken: "cannot unmarshal string",
		},
		"a list instead of an object is replaced": {
			pod: makePod(`[]`), running: first, wantValue: both, wantWrite: true, wantBroken: "cannot unmarshal array",
		},
		"null is replaced": {
			pod: makePod(`null`), running: first, wantValue: both, wantWrite: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := meta.Plan(tc.pod, "containerd", tc.running, nil)
			require.NoError(t, err)
			assert.Equal(t, tc.wantValue, got.Value)
			assert.Equal(t, tc.wantWrite, got.Write)
			if tc.wantBroken == "" {
				assert.Empty(t, got.Broken)
			} else {
				assert.Contains(t, got.Broken, tc.wantBroken)
			}
			if !got.Write {
				return
			}
			again, err := meta.Plan(makePod(got.Value), "containerd", tc.running, nil)
			require.NoError(t, err)
			assert.False(t, again.Write, "what was written is what is wanted")
		})
	}
}

// followingPod is a Pod whose container main follows a label, while an update of that is under way.
func followingPod(change ...func(*corev1.Pod)) *corev1.Pod {
	pod := makePod()
	pod.Labels = map[string]string{"tier": "new", pub.LifecycleStateKey: string(pub.LifecycleStateUpdating)}
	pod.Annotations = map[string]string{pub.InPlaceUpdateStateKey: `{"revision":"web-2","updateTimestamp":null,"updateEnvFromMetadata":true}`}
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{
		Name: "TIER", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['tier']"}},
	}}
	for _, f := range change {
		f(pod)
	}
	return pod
}

func TestPlanOfEnvironments(t *testing.T) {
	running := []cri.Container{container("main", "m1", 0, 0), container("helper", "h1", 0, 0)}
	ended := []cri.Container{{ID: "m1", Name: "main", Created: made}}
	outdated := []meta.Outdated{{Name: "main", ID: "m1"}}
	of := func(tier string) meta.Environments {
		return meta.Environments{"m1": {"TIER": tier, "PATH": "/"}, "h1": {"TIER": "whatever"}}
	}
	tests := map[string]struct {
		pod          *corev1.Pod
		running      []cri.Container
		environments meta.Environments
		want         []meta.Outdated
		wantHash     uint64
	}{
		"an environment that is out of date":    {pod: followingPod(), running: running, environments: of("old"), want: outdated, wantHash: hashOf("old")},
		"one that is not":                       {pod: followingPod(), running: running, environments: of("new"), wantHash: hashOf("new")},
		"one that is not known":                 {pod: followingPod(), running: running},
		"nothing is said of what does not run":  {pod: followingPod(), running: ended, environments: of("old"), wantHash: hashOf("old")},
		"nor when the Pod is not being updated": {pod: followingPod(func(p *corev1.Pod) { p.Labels[pub.LifecycleStateKey] = "Normal" }), running: running, environments: of("old"), wantHash: hashOf("old")},
		"nor when its update is one of images": {pod: followingPod(func(p *corev1.Pod) {
			p.Annotations[pub.InPlaceUpdateStateKey] = `{"revision":"web-2","updateTimestamp":null}`
		}), running: running, environments: of("old"), wantHash: hashOf("old")},
		"nor when what is under way is not said": {pod: followingPod(func(p *corev1.Pod) { p.Annotations[pub.InPlaceUpdateStateKey] = "{" }), running: running, environments: of("old"), wantHash: hashOf("old")},
		"a Pod that an older writer left drained, without a state": {
			pod: followingPod(func(p *corev1.Pod) {
				delete(p.Labels, pub.LifecycleStateKey)
				p.Labels["controller-revision-hash"] = "web-2"
				p.Status.Conditions = []corev1.PodCondition{{Type: pub.InPlaceUpdateReady, Status: corev1.ConditionFalse}}
			}),
			running: running, environments: of("old"), want: outdated, wantHash: hashOf("old"),
		},
		"a native sidecar": {
			pod: followingPod(func(p *corev1.Pod) {
				always := corev1.ContainerRestartPolicyAlways
				p.Spec.InitContainers, p.Spec.Containers = p.Spec.Containers[:1], p.Spec.Containers[1:]
				p.Spec.InitContainers[0].RestartPolicy = &always
			}),
			running: running, environments: of("old"), want: outdated, wantHash: hashOf("old"),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := meta.Plan(tc.pod, "containerd", tc.running, tc.environments)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got.Outdated)
			var report pub.RuntimeContainerMetaSet
			require.NoError(t, json.Unmarshal([]byte(got.Value), &report))
			assert.Equal(t, "main", report.Containers[0].Name)
			assert.Equal(t, tc.wantHash, report.Containers[0].Hashes.ExtractedEnvFromMetadataHash)
			if len(report.Containers) > 1 {
				assert.Zero(t, report.Containers[1].Hashes.ExtractedEnvFromMetadataHash, "a container that follows nothing")
			}
		})
	}
}

// hashOf is what is reported of an environment in which TIER has a value.
func hashOf(tier string) uint64 {
	h := fnv.New32a()
	fmt.Fprintf(h, `[{"name":"TIER","value":%q}]`, tier)
	return uint64(h.Sum32())
}

func FuzzPlan(f *testing.F) {
	for _, text := range []string{"", "{", "null", both, mainAlone, `{"containers":{}}`, `{"containers":[null]}`} {
		f.Add(text)
	}
	running := []cri.Container{container("main", "m1", 0, 0)}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := meta.Plan(makePod(text), "containerd", running, nil)
		require.NoError(t, err)
		again, err := meta.Plan(makePod(got.Value), "containerd", running, nil)
		require.NoError(t, err)
		assert.False(t, again.Write)
		assert.Empty(t, again.Broken)
	})
}

func TestIsManaged(t *testing.T) {
	owned := func(version string, controller bool) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{
			APIVersion: version, Kind: "CloneSet", Name: "web", UID: "1", Controller: &controller,
		}}}}
	}
	tests := map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"a Pod of ours":                            {pod: owned("apps.kruise.io/v1beta1", true), want: true},
		"a Pod of ours by an older version":        {pod: owned("apps.kruise.io/v1alpha1", true), want: true},
		"a Pod that one of ours does not control":  {pod: owned("apps.kruise.io/v1beta1", false)},
		"a Pod of a ReplicaSet":                    {pod: owned("apps/v1", true)},
		"a Pod of a group that ends like ours":     {pod: owned("my-apps.kruise.io/v1", true)},
		"a Pod whose owner's version is not valid": {pod: owned("apps.kruise.io/v1/beta1", true)},
		"a Pod of nobody":                          {pod: &corev1.Pod{}},
		"a Pod with one of our sidecars": {
			pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kruise.io/sidecarset-hash": "{}"}}}, want: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, meta.IsManaged(tc.pod)) })
	}
}
