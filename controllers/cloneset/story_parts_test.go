// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"encoding/json"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// Annotation sets an annotation of the template.
func (b *builder) Annotation(key, value string) *builder {
	return b.with(func() {
		annotations := map[string]string{key: value}
		for k, v := range b.set.Spec.Template.Annotations {
			if k != key {
				annotations[k] = v
			}
		}
		b.set.Spec.Template.Annotations = annotations
	})
}

func (b *builder) container(name string) *corev1.Container {
	spec := &b.set.Spec.Template.Spec
	for _, list := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	panic("no container " + name)
}

// Follows lets the environment of a container follow an annotation.
func (b *builder) Follows(container, annotation string) *builder {
	return b.with(func() {
		c := b.container(container)
		c.Env = append(c.Env, corev1.EnvVar{Name: "CONFIG", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + annotation + "']"},
		}})
	})
}

// LaunchPriority gives a container a launch priority.
func (b *builder) LaunchPriority(container, priority string) *builder {
	return b.with(func() {
		c := b.container(container)
		c.Env = append(c.Env, corev1.EnvVar{Name: pub.ContainerLaunchPriorityEnv, Value: priority})
	})
}

// NativeSidecar adds an init container that goes on.
func (b *builder) NativeSidecar(image string) *builder {
	return b.with(func() {
		always := corev1.ContainerRestartPolicyAlways
		b.set.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "mesh", Image: image, RestartPolicy: &always}}
	})
}

// CPU sets the request of the container main.
func (b *builder) CPU(request string) *builder {
	return b.with(func() {
		c := &b.set.Spec.Template.Spec.Containers[0]
		c.Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(request)}}
	})
}

// RestartsToResize lets the container main restart for its CPU.
func (b *builder) RestartsToResize() *builder {
	return b.with(func() {
		c := &b.set.Spec.Template.Spec.Containers[0]
		c.ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.RestartContainer}}
	})
}

// state is what a Pod remembers of its update.
func (s *stage) state(pod string) pub.InPlaceUpdateState {
	s.t.Helper()
	var state pub.InPlaceUpdateState
	require.NoError(s.t, json.Unmarshal([]byte(s.Pod(pod).Annotations[pub.InPlaceUpdateStateKey]), &state))
	return state
}

// batches are the containers of each batch of a Pod's update.
func (s *stage) batches(pod string) [][]string {
	s.t.Helper()
	var batches [][]string
	for _, batch := range s.state(pod).ContainerBatchesRecord {
		batches = append(batches, batch.Containers)
	}
	return batches
}

// restarts is how often a container was started again.
func (s *stage) restarts(pod, container string) int {
	s.t.Helper()
	p := s.Pod(pod)
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == container {
				return int(list[i].RestartCount)
			}
		}
	}
	s.t.Fatalf("Pod %s has no container %s", pod, container)
	return 0
}

// withAgents lets the node agent run, and environments follow metadata.
func (s *stage) withAgents() {
	s.Agents = true
	s.controller.policy.EnvFromMetadata = true
}

func envStories() map[string]story {
	following := func() *builder {
		return MakeCloneSet("web").Replicas(2).InPlaceIfPossible().Sidecar("proxy:v1").Annotation("app-config", "a").Follows("main", "app-config")
	}
	return map[string]story{
		"a changed annotation restarts the container that follows it": {
			set: following().Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Given("two Pods whose main container follows the annotation app-config")
				before := s.UIDs()
				s.User("changes the annotation", func(b *builder) { b.Annotation("app-config", "b") })
				s.Rest()
				assert.Equal(s.t, before, s.UIDs(), "no Pod is replaced")
				assert.Equal(s.t, 1, s.restarts("web-a", "main"))
				assert.Equal(s.t, 0, s.restarts("web-a", "sidecar"), "what does not follow the annotation does not restart")
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
				state := s.state("web-a")
				assert.True(s.t, state.UpdateEnvFromMetadata)
				assert.Equal(s.t, [][]string{{"main"}}, s.batches("web-a"))
			},
		},
		"a removed annotation restarts the container that followed it": {
			set: following().Replicas(1).Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Given("a Pod whose main container follows the annotation app-config")
				s.User("removes the annotation", func(b *builder) { b.set.Spec.Template.Annotations = nil })
				s.Rest()
				assert.NotContains(s.t, s.Pod("web-a").Annotations, "app-config")
				assert.Equal(s.t, 1, s.restarts("web-a", "main"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"an annotation and an image that change together restart the container once": {
			set: following().Replicas(1).GracePeriodSeconds(3).Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Given("a Pod whose main container follows the annotation app-config")
				s.User("changes the annotation and the image", func(b *builder) { b.Annotation("app-config", "b").Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 1, s.restarts("web-a", "main"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"an annotation that is changed back in the middle of its update": {
			set: following().Replicas(1).Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Given("a Pod whose main container follows the annotation app-config")
				s.User("changes the annotation", func(b *builder) { b.Annotation("app-config", "b") })
				s.Reconcile()
				s.Reconcile()
				s.Do("node agent stop web-a/main")
				s.User("changes it back", func(b *builder) { b.Annotation("app-config", "a") })
				s.Do("kubelet start web-a/main")
				s.Rest()
				assert.Equal(s.t, "a", s.Pod("web-a").Annotations["app-config"])
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"while the node agent is away an environment waits for it and the set says so": {
			set: following().Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Given("two Pods whose main container follows the annotation app-config")
				s.Script.Scene("the node agent goes away")
				s.Agents = false
				s.User("changes the annotation", func(b *builder) { b.Annotation("app-config", "b") })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().Available, "the other Pod waits")
				c := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionReconciling)
				assert.Equal(s.t, "batch 1/2: 1 of 2 updated, 1 available, waiting for web-a (container main: the node agent has not reported yet that its environment follows "+
					"the metadata)", c.Message)
				s.Script.Scene("it comes back")
				s.Agents = true
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"while the gate is off a changed annotation that a container follows recreates": {
			set: following().Replicas(1).Obj(),
			play: func(s *stage) {
				s.Given("a Pod whose main container follows the annotation app-config")
				s.User("changes the annotation", func(b *builder) { b.Annotation("app-config", "b") })
				s.Rest()
				assert.Nil(s.t, s.World.Pod("web-a"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a third revision arrives while a slow kubelet pulls the second and the node agent sees it": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Kubelets = sim.Slow
				s.Given("two Pods of app:v1")
				s.User("sets the image to app:v2", func(b *builder) { b.Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				s.Do("kubelet stop web-a/main")
				s.User("sets the image to app:v3", func(b *builder) { b.Image("app:v3") })
				s.Reconcile()
				s.Reconcile()
				s.Do("kubelet start web-a/main", "node agent report web-a")
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"another tag of the same image": {
			set: MakeCloneSet("web").Replicas(1).InPlaceIfPossible().Image("app:v4").Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Images["app:v4"], s.Images["app:v5"] = sim.Image{Digest: "same"}, sim.Image{Digest: "same"}
				s.Given("a Pod of app:v4")
				s.User("sets the image to app:v5, which is the same image", func(b *builder) { b.Image("app:v5") })
				s.Rest()
				assert.Equal(s.t, 1, s.restarts("web-a", "main"))
				s.User("moves back to app:v4", func(b *builder) { b.Image("app:v4") })
				s.Rest()
				assert.Equal(s.t, 2, s.restarts("web-a", "main"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
	}
}

func batchStories() map[string]story {
	ordered := func() *builder {
		return MakeCloneSet("web").InPlaceIfPossible().Sidecar("proxy:v1").LaunchPriority("sidecar", "10")
	}
	return map[string]story{
		"containers change in the order of their launch priorities": {
			set: ordered().Annotation("app-config", "a").Follows("sidecar", "app-config").Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Given("a Pod whose sidecar follows the annotation app-config and launches before main")
				s.User("changes the annotation and the image of main", func(b *builder) { b.Annotation("app-config", "b").Image("app:v2") })
				s.Reconcile()
				s.Reconcile()
				first := s.state("web-a")
				assert.Equal(s.t, map[string]string{"main": "app:v2"}, first.NextContainerImages)
				assert.Equal(s.t, &pub.InPlaceUpdatePreCheckBeforeNext{ContainersRequiredReady: []string{"sidecar"}}, first.PreCheckBeforeNext)
				assert.Equal(s.t, [][]string{{"sidecar"}}, s.batches("web-a"))
				s.Rest()
				last := s.state("web-a")
				assert.Empty(s.t, last.NextContainerImages)
				assert.Nil(s.t, last.PreCheckBeforeNext)
				assert.Equal(s.t, [][]string{{"sidecar"}, {"main"}}, s.batches("web-a"))
				assert.Equal(s.t, map[string]pub.InPlaceUpdateContainerStatus{"main": {ImageID: "sha256:app:v1"}}, last.LastContainerStatuses)
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"containers that follow one annotation change together": {
			set: ordered().Annotation("app-config", "a").Follows("sidecar", "app-config").Follows("main", "app-config").Obj(),
			play: func(s *stage) {
				s.withAgents()
				s.Given("a Pod whose containers both follow the annotation app-config")
				s.User("changes the annotation and the image of main", func(b *builder) { b.Annotation("app-config", "b").Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, [][]string{{"main", "sidecar"}}, s.batches("web-a"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"containers change in the order of the specification": {
			set: MakeCloneSet("web").InPlaceIfPossible().Sidecar("proxy:v1").Annotation(pub.ContainerLaunchPriorityKey, pub.ContainerLaunchOrdered).
				GracePeriodSeconds(2).Obj(),
			play: func(s *stage) {
				s.Given("a Pod whose containers launch in order")
				s.User("changes both images", func(b *builder) { b.Image("app:v2").container("sidecar").Image = "proxy:v2" })
				s.Rest()
				assert.Equal(s.t, [][]string{{"main"}, {"sidecar"}}, s.batches("web-a"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a third revision arrives between two batches": {
			set: ordered().Obj(),
			play: func(s *stage) {
				s.Given("a Pod whose sidecar launches before main")
				s.User("changes both images", func(b *builder) { b.Image("app:v2").container("sidecar").Image = "proxy:v2" })
				s.Reconcile()
				s.Reconcile()
				s.Do("kubelet stop web-a/sidecar", "kubelet start web-a/sidecar")
				s.User("changes the image of the sidecar once more", func(b *builder) { b.container("sidecar").Image = "proxy:v3" })
				s.Rest()
				assert.Equal(s.t, "app:v2", s.Runs(s.Pod("web-a"), "main"), "what was to come is not forgotten")
				assert.Equal(s.t, "proxy:v3", s.Runs(s.Pod("web-a"), "sidecar"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
		"a third revision of a later container waits for the first": {
			set: ordered().Obj(),
			play: func(s *stage) {
				s.Given("a Pod whose sidecar launches before main")
				s.User("changes the image of the sidecar", func(b *builder) { b.container("sidecar").Image = "proxy:v2" })
				s.Reconcile()
				s.Reconcile()
				s.User("changes the image of main before the sidecar has followed", func(b *builder) { b.Image("app:v2") })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
				assert.Equal(s.t, "app:v2", s.Runs(s.Pod("web-a"), "main"))
			},
		},
		"a first container that breaks holds the others back until it is repaired": {
			set: ordered().Obj(),
			play: func(s *stage) {
				s.Images["proxy:bad"] = sim.Image{Crashes: true}
				s.Given("a Pod whose sidecar launches before main")
				s.User("changes both images, and that of the sidecar crashes", func(b *builder) { b.Image("app:v2").container("sidecar").Image = "proxy:bad" })
				s.Rest()
				assert.Equal(s.t, "app:v1", s.Runs(s.Pod("web-a"), "main"))
				s.User("repairs the sidecar", func(b *builder) { b.container("sidecar").Image = "proxy:v2" })
				s.Rest()
				assert.Equal(s.t, "app:v2", s.Runs(s.Pod("web-a"), "main"))
				assert.Equal(s.t, 1, s.Tally().UpdatedAvailable)
			},
		},
	}
}

func nativeSidecarStories() map[string]story {
	return map[string]story{
		"a native sidecar takes a new image in place": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().NativeSidecar("mesh:v1").Obj(),
			play: func(s *stage) {
				s.Given("two Pods with a native sidecar")
				before := s.UIDs()
				s.User("sets its image to mesh:v2", func(b *builder) { b.NativeSidecar("mesh:v2") })
				s.Rest()
				assert.Equal(s.t, before, s.UIDs(), "no Pod is replaced")
				assert.Equal(s.t, 1, s.restarts("web-a", "mesh"))
				assert.Equal(s.t, 0, s.restarts("web-a", "main"))
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
		"a native sidecar that crashes stops the update and says so": {
			set: MakeCloneSet("web").Replicas(2).InPlaceIfPossible().NativeSidecar("mesh:v1").Obj(),
			play: func(s *stage) {
				s.Images["mesh:bad"] = sim.Image{Crashes: true}
				s.Given("two Pods with a native sidecar")
				s.User("sets an image of it that crashes", func(b *builder) { b.NativeSidecar("mesh:bad") })
				s.Rest()
				assert.Equal(s.t, 1, s.Tally().Available)
				c := findCondition(s.controller.set, kruisev1beta1.CloneSetConditionReconciling)
				assert.Contains(s.t, c.Message, "waiting for web-a (CrashLoopBackOff: the kubelet waits 20 s before it restarts mesh)")
				s.User("sets its image to mesh:v2", func(b *builder) { b.NativeSidecar("mesh:v2") })
				s.Rest()
				assert.Equal(s.t, 2, s.Tally().UpdatedAvailable)
			},
		},
	}
}
