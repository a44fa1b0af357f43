// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/keelson/keelson/controllers/plan/sim"
)

// equip gives a world parts of Pods that change in place beside one image, each by chance.
func (c *chaos) equip(world *sim.World, b *builder) {
	if c.rand.IntN(3) > 0 {
		b.InPlaceIfPossible()
	}
	if c.rand.IntN(3) == 0 {
		world.Kubelets = sim.Slow
	}
	if c.rand.IntN(3) > 0 {
		world.Agents = true
		c.controller.policy.EnvFromMetadata = c.rand.IntN(4) > 0
	}
	if c.rand.IntN(2) == 0 {
		b.Annotation("config", "a").Follows("main", "config")
		if c.rand.IntN(3) == 0 {
			b.Follows("sidecar", "config")
		}
	}
	if c.rand.IntN(3) == 0 {
		b.LaunchPriority(c.one("main", "sidecar"), c.one("10", "-10"))
	}
	if c.rand.IntN(3) == 0 {
		b.NativeSidecar("mesh:v1")
	}
	if c.rand.IntN(2) == 0 {
		world.TooMuch, world.Refuses = resource.MustParse("64"), c.rand.IntN(2) == 0
		b.CPU("100m")
		c.controller.policy.VerticalScaling = c.rand.IntN(4) > 0
		if c.rand.IntN(3) == 0 {
			b.RestartsToResize()
		}
	}
}

// changeParts changes such a part, where the world has it.
func (c *chaos) changeParts(b *builder) string {
	template := &b.set.Spec.Template
	switch n := c.rand.IntN(6); {
	case n < 2 && template.Annotations["config"] != "":
		value := c.one("a", "b", "c")
		b.Annotation("config", value)
		return "sets the annotation config of the template to " + value
	case n == 2 && len(template.Spec.InitContainers) > 0:
		image := c.one("mesh:v1", "mesh:v2")
		b.NativeSidecar(image)
		return "sets the image of the native sidecar to " + image
	case n == 3 && c.controller.policy.VerticalScaling:
		request := c.one("100m", "200m", "300m", "100")
		b.CPU(request)
		return "asks for " + request + " of CPU"
	case n == 4:
		c.Full = !c.Full
		return fmt.Sprintf("does nothing, but that the nodes are full is now %t", c.Full)
	default:
		b.Image("app:v2").container("sidecar").Image = c.one("proxy:v1", "proxy:v2")
		return "sets the image to app:v2 and that of the sidecar to " + b.container("sidecar").Image
	}
}

// lastParts is what the user wants of them in the end, which can be fulfilled.
func (c *chaos) lastParts(b *builder) {
	if c.controller.policy.VerticalScaling {
		b.CPU(c.one("100m", "200m"))
	}
	if b.set.Spec.Template.Annotations["config"] != "" {
		b.Annotation("config", c.one("a", "b"))
	}
}

// setMode sets a variable of the main container.
func (c *chaos) setMode(b *builder, value string) {
	main := b.container("main")
	for i := range main.Env {
		if main.Env[i].Name == "MODE" {
			main.Env[i].Value = value
			return
		}
	}
	main.Env = append(main.Env, corev1.EnvVar{Name: "MODE", Value: value})
}

// isTooLarge says that no node can give a Pod what it asks for.
func (c *chaos) isTooLarge(pod *corev1.Pod) bool {
	request := pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU]
	return !c.TooMuch.IsZero() && request.Cmp(c.TooMuch) >= 0
}
