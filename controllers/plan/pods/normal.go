// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package pods

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Normal returns the template with each field that Kubernetes would default set to its default, so that two templates which make the same Pods are
// equal, whoever wrote the defaults out. The input is not changed.
//
//	{image: web:1}   ==   {image: web:1, terminationMessagePath: /dev/termination-log, ...}
//
// Pull policies stay as they are: an omitted one has no value of its own, see EqualizePullPolicies.
//
// COMPAT: the published suite writes the defaults into the CloneSet, and so into its revisions; here they stay out of what users own. Without this, whoever
// replaced such a CloneSet by the file in Git would recreate all its Pods.
func Normal(template *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	out := template.DeepCopy()
	normalPod(&out.Spec)
	for _, list := range [][]corev1.Container{out.Spec.Containers, out.Spec.InitContainers} {
		for i := range list {
			normalContainer(&list[i])
			if out.Spec.HostNetwork {
				exposeOnHost(list[i].Ports)
			}
		}
	}
	for i := range out.Spec.Volumes {
		normalVolume(&out.Spec.Volumes[i].VolumeSource)
	}
	return out
}

// MakeSame reports whether two normal templates make the same Pods. The first is changed: it gets the pull policies of the second where either omits one.
func MakeSame(a, b *corev1.PodTemplateSpec) bool {
	EqualizePullPolicies(&a.Spec, &b.Spec)
	return equality.Semantic.DeepEqual(a, b)
}

// EqualizePullPolicies gives the containers and image volumes of one specification the pull policies of another wherever either of the two omits its own. An omitted
// policy equals whatever the other side has: the published suite wrote Always for it, Kubernetes chooses by the tag, and a running Pod cannot change it.
func EqualizePullPolicies(into, from *corev1.PodSpec) {
	equalizeContainers(into.Containers, from.Containers)
	equalizeContainers(into.InitContainers, from.InitContainers)
	for i := range into.Volumes {
		if i >= len(from.Volumes) || into.Volumes[i].Image == nil || from.Volumes[i].Image == nil {
			continue
		}
		equalize(&into.Volumes[i].Image.PullPolicy, from.Volumes[i].Image.PullPolicy)
	}
}

func equalizeContainers(into, from []corev1.Container) {
	for i := range into {
		if i < len(from) && into[i].Name == from[i].Name {
			equalize(&into[i].ImagePullPolicy, from[i].ImagePullPolicy)
		}
	}
}

func equalize(into *corev1.PullPolicy, from corev1.PullPolicy) {
	if *into == "" || from == "" {
		*into = from
	}
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

// dropEmpty removes a pointer to nothing: it says as much as no pointer at all.
func dropEmpty[T any](field **T) {
	var empty T
	if *field != nil && equality.Semantic.DeepEqual(*field, &empty) {
		*field = nil
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
	dropEmpty(&spec.Affinity)
}

// exposeOnHost writes out that a port of a Pod on the host's network is the same port of the host.
func exposeOnHost(ports []corev1.ContainerPort) {
	for i := range ports {
		fill(&ports[i].HostPort, ports[i].ContainerPort)
	}
}

func normalSource(from *corev1.EnvVarSource) {
	switch {
	case from == nil:
	case from.FieldRef != nil:
		fill(&from.FieldRef.APIVersion, "v1")
	case from.FileKeyRef != nil:
		point(&from.FileKeyRef.Optional, false)
	}
}

func normalContainer(c *corev1.Container) {
	fill(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	fill(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	normalResources(&c.Resources)
	dropEmpty(&c.SecurityContext)
	dropEmpty(&c.Lifecycle)
	for i := range c.Ports {
		fill(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		normalSource(c.Env[i].ValueFrom)
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

// normalResources rounds quantities as the API server does, and writes out that a request which is missing is as large as the limit.
func normalResources(r *corev1.ResourceRequirements) {
	for _, list := range []corev1.ResourceList{r.Limits, r.Requests} {
		for name, quantity := range list {
			quantity.RoundUp(resource.Milli)
			list[name] = quantity
		}
	}
	for name, limit := range r.Limits {
		if _, isRequested := r.Requests[name]; isRequested {
			continue
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		r.Requests[name] = limit.DeepCopy()
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
	default:
		normalDisk(v)
	}
}

// normalDisk fills in what Kubernetes does for disks that a Pod names itself.
func normalDisk(v *corev1.VolumeSource) {
	switch {
	case v.ISCSI != nil:
		fill(&v.ISCSI.ISCSIInterface, "default")
	case v.RBD != nil:
		fill(&v.RBD.RBDPool, "rbd")
		fill(&v.RBD.RadosUser, "admin")
		fill(&v.RBD.Keyring, "/etc/ceph/keyring")
	case v.ScaleIO != nil:
		fill(&v.ScaleIO.StorageMode, "ThinProvisioned")
		fill(&v.ScaleIO.FSType, "xfs")
	case v.AzureDisk != nil:
		point(&v.AzureDisk.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		point(&v.AzureDisk.Kind, corev1.AzureSharedBlobDisk)
		point(&v.AzureDisk.FSType, "ext4")
		point(&v.AzureDisk.ReadOnly, false)
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
