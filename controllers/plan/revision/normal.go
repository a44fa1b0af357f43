// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package revision

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Normal is the template with each field that Kubernetes would default set to its default, so that two templates which make the same Pods are equal,
// whoever wrote the defaults out. The input is not changed.
//
//	{image: web:1}   ==   {image: web:1, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log, ...}
//
// COMPAT: the published suite writes the defaults into the CloneSet, and so into its revisions; here they stay out of what users own. Without this, whoever replaced
// such a CloneSet by the file in Git would recreate all its Pods.
func Normal(template *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	out := template.DeepCopy()
	normalPod(&out.Spec)
	for i := range out.Spec.Containers {
		c := &out.Spec.Containers[i]
		fill(&c.ImagePullPolicy, corev1.PullAlways)
		normalContainer(c)
	}
	for i := range out.Spec.InitContainers {
		c := &out.Spec.InitContainers[i]
		fill(&c.ImagePullPolicy, pullPolicyByTag(c.Image))
		normalContainer(c)
	}
	for i := range out.Spec.Volumes {
		normalVolume(&out.Spec.Volumes[i].VolumeSource)
	}
	return out
}

// fill sets a field that is empty.
func fill[T comparable](field *T, value T) {
	var empty T
	if *field == empty {
		*field = value
	}
}

// point makes a pointer to a value where there is none.
func point[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

func normalPod(spec *corev1.PodSpec) {
	fill(&spec.RestartPolicy, corev1.RestartPolicyAlways)
	fill(&spec.DNSPolicy, corev1.DNSClusterFirst)
	fill(&spec.SchedulerName, corev1.DefaultSchedulerName)
	point(&spec.SecurityContext, corev1.PodSecurityContext{})
	point(&spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	point(&spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	// One is the old name of the other.
	fill(&spec.ServiceAccountName, spec.DeprecatedServiceAccount)
	spec.DeprecatedServiceAccount = spec.ServiceAccountName
}

// pullPolicyByTag is Kubernetes' own default; the published suite leaves it to init containers.
func pullPolicyByTag(image string) corev1.PullPolicy {
	last := image[strings.LastIndexByte(image, '/')+1:]
	if !strings.ContainsAny(last, ":@") || strings.HasSuffix(last, ":latest") {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

func normalContainer(c *corev1.Container) {
	fill(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	fill(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		fill(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			fill(&from.FieldRef.APIVersion, "v1")
		}
	}
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if probe != nil {
			normalProbe(probe)
		}
	}
	if c.Lifecycle == nil {
		return
	}
	for _, handler := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
		if handler != nil {
			normalRequest(handler.HTTPGet)
		}
	}
}

func normalProbe(p *corev1.Probe) {
	fill(&p.TimeoutSeconds, 1)
	fill(&p.PeriodSeconds, 10)
	fill(&p.SuccessThreshold, 1)
	fill(&p.FailureThreshold, 3)
	normalRequest(p.HTTPGet)
	if p.GRPC != nil {
		point(&p.GRPC.Service, "")
	}
}

func normalRequest(get *corev1.HTTPGetAction) {
	if get != nil {
		fill(&get.Path, "/")
		fill(&get.Scheme, corev1.URISchemeHTTP)
	}
}

func normalVolume(v *corev1.VolumeSource) {
	switch {
	case v.ConfigMap != nil:
		point(&v.ConfigMap.DefaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
	case v.Secret != nil:
		point(&v.Secret.DefaultMode, corev1.SecretVolumeSourceDefaultMode)
	case v.DownwardAPI != nil:
		point(&v.DownwardAPI.DefaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
		normalDownward(v.DownwardAPI.Items)
	case v.Projected != nil:
		point(&v.Projected.DefaultMode, corev1.ProjectedVolumeSourceDefaultMode)
		normalProjected(v.Projected.Sources)
	case v.HostPath != nil:
		point(&v.HostPath.Type, corev1.HostPathUnset)
	case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
		point(&v.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	case *v == corev1.VolumeSource{}:
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
}

func normalProjected(sources []corev1.VolumeProjection) {
	for i := range sources {
		if token := sources[i].ServiceAccountToken; token != nil {
			point(&token.ExpirationSeconds, 60*60)
		}
		if downward := sources[i].DownwardAPI; downward != nil {
			normalDownward(downward.Items)
		}
	}
}

func normalDownward(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			fill(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}
