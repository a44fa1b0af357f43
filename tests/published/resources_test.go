// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package published_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func sized(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
	}
}

func TestResourcesChangeWithARestart(t *testing.T) {
	for name, tc := range map[string]struct {
		restarts []corev1.ResourceName
		image    string
		config   string
	}{
		"with an image, and a restart for both":      {restarts: []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}, image: support.ImageV2, config: "one"},
		"with an image, and a restart for memory":    {restarts: []corev1.ResourceName{corev1.ResourceMemory}, image: support.ImageV2, config: "one"},
		"with an image, and a restart for the CPU":   {restarts: []corev1.ResourceName{corev1.ResourceCPU}, image: support.ImageV2, config: "one"},
		"with an image that needs the only restart":  {image: support.ImageV2, config: "one"},
		"with the environment":                       {image: support.ImageV1, config: "two"},
		"with an image and the environment together": {restarts: []corev1.ResourceName{corev1.ResourceMemory}, image: support.ImageV2, config: "two"},
	} {
		t.Run(name, func(t *testing.T) {
			s := support.Begin(t)
			set := support.MakeCloneSet("web").Replicas(1).Deadline(600).Obj()
			set.Spec.Template.Annotations = map[string]string{"config": "one"}
			main := &set.Spec.Template.Spec.Containers[0]
			main.Resources = sized("20m", "16Mi")
			main.Env = []corev1.EnvVar{follows("CONFIG", "metadata.annotations['config']")}
			for _, kind := range tc.restarts {
				main.ResizePolicy = append(main.ResizePolicy, corev1.ContainerResizePolicy{ResourceName: kind, RestartPolicy: corev1.RestartContainer})
			}
			s.Create(older(set))
			becomes(s, available())
			before := only(s)
			// What the API server has defaulted is kept.
			containers := s.CloneSet("web").Spec.Template.Spec.Containers
			containers[0].Image, containers[0].Resources = tc.image, sized("30m", "20Mi")
			patch(s, `{"template":{"metadata":{"annotations":{"config":"`+tc.config+`"}},"spec":{"containers":`+support.JSON(containers)+`}}}`)
			s.WaitFor("web", "the Pod is updated", func(set *kruisev1beta1.CloneSet) bool {
				return set.Status.UpdatedAvailableReplicas == 1 && progressOf(set) == available()
			})
			pod := only(s)
			was, is := statusOf(s, before, "main"), statusOf(s, pod, "main")
			assert.Equal(t, before.UID, pod.UID)
			assert.NotEqual(t, was.ContainerID, is.ContainerID)
			assert.Positive(t, is.RestartCount)
			if assert.NotNil(t, is.Resources) {
				assert.True(t, is.Resources.Requests.Cpu().Equal(resource.MustParse("30m")), "%v", is.Resources)
				assert.True(t, is.Resources.Requests.Memory().Equal(resource.MustParse("20Mi")), "%v", is.Resources)
			}
		})
	}
}
