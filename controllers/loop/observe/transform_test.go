// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/plan/claims"
)

func ownedBy(apiVersion, kind string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: "web", UID: "owner", Controller: new(true)}}
}

func owner(apiVersion, kind string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: "other", UID: "other"}}
}

func TestTransform(t *testing.T) {
	for name, tc := range map[string]struct {
		owners    []metav1.OwnerReference
		id        string
		wantWhole bool
	}{
		"a Pod of a ReplicaSet is metadata":                                                  {owners: ownedBy("apps/v1", "ReplicaSet")},
		"a Pod of a StatefulSet of Kubernetes is metadata, though we may have that kind too": {owners: ownedBy("apps/v1", "StatefulSet")},
		"a Pod whose controller cannot be read is metadata":                                  {owners: ownedBy("a/b/c", "What")},
		"a Pod of a CloneSet is whole, of either version":                                    {owners: ownedBy("apps.kruise.io/v1alpha1", "CloneSet"), wantWhole: true},
		"an orphan that has an instance ID is whole":                                         {id: "a", wantWhole: true},
		"a bare Pod is metadata":                                                             {},
		"a Pod with a CloneSet as an owner that does not control it is whole":                {owners: owner("apps.kruise.io/v1beta1", "CloneSet"), wantWhole: true},
		"a Pod with another owner that does not control it is metadata":                      {owners: owner("v1", "Node")},
	} {
		t.Run(name, func(t *testing.T) {
			pod := makePod("web-a", tc.owners)
			if tc.id != "" {
				pod.Labels[kruisev1beta1.CloneSetInstanceIDKey] = tc.id
			}
			want := pod.DeepCopy()
			want.ManagedFields = nil
			if !tc.wantWhole {
				want.Spec, want.Status = corev1.PodSpec{Volumes: pod.Spec.Volumes[1:2]}, corev1.PodStatus{Phase: pod.Status.Phase}
			}
			for range 2 {
				got, err := observe.Transform(pod)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			assert.True(t, claims.Uses(pod, "data-web-a"), "whose claims are in use is known of every Pod")
		})
	}
	t.Run("a ControllerRevision of others is metadata", func(t *testing.T) {
		for group, wantData := range map[string]string{"apps/v1": "", "apps.kruise.io/v1beta1": "{}"} {
			rev := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "r", OwnerReferences: ownedBy(group, "StatefulSet")}, Revision: 3}
			rev.Data.Raw = []byte("{}")
			_, err := observe.Transform(rev)
			require.NoError(t, err)
			assert.Equal(t, wantData, string(rev.Data.Raw))
			assert.EqualValues(t, 3, rev.Revision)
		}
	})
	t.Run("what is no object passes", func(t *testing.T) {
		got, err := observe.Transform("x")
		require.NoError(t, err)
		assert.Equal(t, "x", got)
	})
}

// makePod is a Pod as a cluster has them: two containers with probes and an environment, a volume that uses a claim, and a full status.
func makePod(name string, owners []metav1.OwnerReference) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: "uid", ResourceVersion: "7", OwnerReferences: owners,
			Labels:        map[string]string{"app": "web", "pod-template-hash": "5d9c7b8f6d"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(strings.Repeat(" ", 2000))}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1",
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}},
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-" + name}}},
			},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}},
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}}}
	for _, container := range []string{"main", "proxy"} {
		c := corev1.Container{
			Name: container, Image: "registry.example.com/shop/" + container + ":1.2.3", LivenessProbe: probe.DeepCopy(), ReadinessProbe: probe.DeepCopy(),
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "config", MountPath: "/etc/config", ReadOnly: true}},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
			},
		}
		for i := range 10 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: "a value of some length"})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container, Image: c.Image, ImageID: c.Image + "@sha256:0123456789012345678901234567890123456789012345678901234567890123", Ready: true,
			ContainerID: "containerd://0123456789012345678901234567890123456789012345678901234567890123",
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		})
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue})
	}
	return pod
}

// BenchmarkForeignPod measures what a Pod of others takes in the caches.
func BenchmarkForeignPod(b *testing.B) {
	raw, err := makePod("web-a", ownedBy("apps/v1", "ReplicaSet")).Marshal()
	require.NoError(b, err)
	for name, transform := range map[string]func(any) (any, error){
		"without managed fields": func(object any) (any, error) {
			object.(metav1.Object).SetManagedFields(nil)
			return object, nil
		},
		"as it is kept": observe.Transform,
	} {
		b.Run(name, func(b *testing.B) {
			held := make([]any, 0, b.N)
			before := heap()
			for range b.N {
				pod := &corev1.Pod{}
				if err := pod.Unmarshal(raw); err != nil {
					b.Fatal(err)
				}
				object, err := transform(pod)
				if err != nil {
					b.Fatal(err)
				}
				held = append(held, object)
			}
			b.ReportMetric(float64(heap()-before)/float64(b.N), "held-B/Pod")
			runtime.KeepAlive(held)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
