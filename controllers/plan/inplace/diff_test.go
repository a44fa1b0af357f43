// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
)

func follow(variable, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func amount(cpu, memory string) corev1.ResourceList {
	list := corev1.ResourceList{}
	if cpu != "" {
		list[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		list[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return list
}

func TestDiffOfResources(t *testing.T) {
	type requirements = corev1.ResourceRequirements
	for name, tc := range map[string]struct {
		old, updated requirements
		isOff        bool
		want         requirements
		wantNo       string
	}{
		"a request": {
			old: requirements{Requests: amount("100m", "")}, updated: requirements{Requests: amount("200m", "")},
			want: requirements{Requests: amount("200m", "")},
		},
		"the same in other words": {
			old: requirements{Requests: amount("1", "")}, updated: requirements{Requests: amount("1000m", "")},
		},
		"a limit alone takes its request with it": {
			old: requirements{Limits: amount("1", "1Gi")}, updated: requirements{Limits: amount("2", "1Gi")},
			want: requirements{Limits: amount("2", ""), Requests: amount("2", "")},
		},
		"a limit with a request of its own": {
			old:     requirements{Limits: amount("1", ""), Requests: amount("500m", "")},
			updated: requirements{Limits: amount("2", ""), Requests: amount("500m", "")},
			want:    requirements{Limits: amount("2", "")},
		},
		"a request that was not there": {
			old: requirements{Requests: amount("1", "")}, updated: requirements{Requests: amount("1", "1Gi")},
			wantNo: "spec.template.spec.containers[0].resources.requests.memory cannot change in place",
		},
		"a limit that goes": {
			old:     requirements{Requests: amount("1", ""), Limits: amount("2", "")},
			updated: requirements{Requests: amount("1", "")},
			wantNo:  "spec.template.spec.containers[0].resources.limits cannot change in place",
		},
		"another resource": {
			old:     requirements{Requests: corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}},
			updated: requirements{Requests: corev1.ResourceList{"example.com/gpu": resource.MustParse("2")}},
			wantNo:  "spec.template.spec.containers[0].resources.requests.example.com/gpu cannot change in place",
		},
		"another class": {
			old:     requirements{Requests: amount("1", "1Gi"), Limits: amount("1", "1Gi")},
			updated: requirements{Requests: amount("500m", "1Gi"), Limits: amount("1", "1Gi")},
			wantNo:  "the QoS class changes with them, here from Guaranteed to Burstable",
		},
		"all of them while the gate is off": {
			old: requirements{Requests: amount("100m", "")}, updated: requirements{Requests: amount("200m", "")}, isOff: true,
			wantNo: "spec.template.spec.containers[0].resources.requests.cpu cannot change in place",
		},
	} {
		t.Run(name, func(t *testing.T) {
			// One container decides the class.
			make := func(r corev1.ResourceRequirements) *corev1.PodTemplateSpec {
				return &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: r}}}}
			}
			old := make(tc.old)
			before := old.DeepCopy()
			spec, verdict := inplace.Diff(old, make(tc.updated), inplace.Options{VerticalScaling: !tc.isOff})
			assert.Equal(t, before, old, "the old template must not change")
			if tc.wantNo != "" {
				assert.False(t, verdict.OK)
				assert.Contains(t, verdict.Message, tc.wantNo)
				return
			}
			require.True(t, verdict.OK, verdict.Message)
			got := spec.Resources["main"]
			assert.Equal(t, jsonOf(t, tc.want), jsonOf(t, got))
		})
	}
}

func jsonOf(t *testing.T, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	require.NoError(t, err)
	return string(raw)
}

func TestDiffOfInitContainers(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	change := func(policy *corev1.ContainerRestartPolicy) (inplace.Spec, plan.Verdict) {
		old, updated := template(), template()
		old.Spec.InitContainers[0].RestartPolicy, updated.Spec.InitContainers[0].RestartPolicy = policy, policy
		updated.Spec.InitContainers[0].Image = "init:v2"
		return inplace.Diff(old, updated, inplace.Options{})
	}
	spec, verdict := change(&always)
	require.True(t, verdict.OK, verdict.Message)
	assert.Equal(t, map[string]string{"init": "init:v2"}, spec.Images)
	_, verdict = change(nil)
	assert.Equal(t, "spec.template.spec.initContainers[0].image cannot change in place", verdict.Message)
}

func TestDiffOfMetadataThatEnvironmentsFollow(t *testing.T) {
	old := template()
	// A template that was pasted from a running Pod, and is cleaned up.
	old.Labels[appsv1.ControllerRevisionHashLabelKey], old.Labels[pub.LifecycleStateKey], old.Labels[kruisev1beta1.CloneSetInstanceIDKey] = "web-1", "Normal", "a"
	old.Labels["tier"], old.Annotations["gone"], old.Annotations["other"] = "a", "x", "1"
	old.Spec.Containers[0].Env = []corev1.EnvVar{follow("CONFIG", "metadata.annotations['config']"), follow("GONE", "metadata.annotations['gone']")}
	old.Spec.Containers[1].Env = []corev1.EnvVar{follow("TIER", "metadata.labels['tier']"), follow("NODE", "spec.nodeName")}
	updated := old.DeepCopy()
	updated.Labels["tier"], updated.Annotations["config"], updated.Annotations["other"] = "b", "b", "2"
	delete(updated.Annotations, "gone")

	spec, verdict := inplace.Diff(old, updated, inplace.Options{EnvFromMetadata: true})
	require.True(t, verdict.OK, verdict.Message)
	two := "2"
	assert.Equal(t, map[string]metav1.ObjectMeta{
		"main": {Annotations: map[string]string{"config": "b"}}, "side": {Labels: map[string]string{"tier": "b"}},
	}, spec.RefMetadata)
	assert.Empty(t, spec.Labels)
	assert.Equal(t, map[string]*string{"other": &two, "gone": nil}, spec.Annotations, "what goes away goes with the rest")
	assert.Equal(t, []string{"main", "side"}, spec.Containers())

	_, verdict = inplace.Diff(old, updated, inplace.Options{})
	assert.False(t, verdict.OK)
	assert.Contains(t, verdict.Message, "InPlaceUpdateEnvFromMetadata is off")
}

func TestEnvHash(t *testing.T) {
	c := &corev1.Container{Env: []corev1.EnvVar{
		{Name: "PLAIN", Value: "x"}, follow("B", "metadata.labels['b']"), follow("A", "metadata.annotations['a/key']"), follow("IP", "status.podIP"),
		follow("SIDECARSET_VERSION", "metadata.annotations['v']"), follow("SIDECARSET_VERSION_ALT", "metadata.annotations['w']"),
	}}
	// FNV-1a of [{"name":"A","value":"1"},{"name":"B","value":"2"}].
	const want = uint64(0xc5f92439)
	assert.Equal(t, want, inplace.ExpectedEnvHash(c, map[string]string{"b": "2"}, map[string]string{"a/key": "1", "v": "ignored"}))
	assert.Equal(t, want, inplace.ActualEnvHash(c, map[string]string{"A": "1", "B": "2", "PLAIN": "y", "SIDECARSET_VERSION": "ignored"}))
	assert.NotEqual(t, want, inplace.ActualEnvHash(c, map[string]string{"A": "1"}), "a variable that is missing is empty")
	assert.True(t, inplace.FollowsMetadata(c))
	assert.Zero(t, inplace.ExpectedEnvHash(&corev1.Container{Env: c.Env[:1]}, nil, nil))
	assert.False(t, inplace.FollowsMetadata(&corev1.Container{Env: c.Env[:1]}))
}

func TestDiffIgnoresDefaultsThatOneSideLeavesOut(t *testing.T) {
	fieldRef := func(apiVersion string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: apiVersion, FieldPath: "metadata.name"}}
	}
	probe := func(p corev1.Probe) *corev1.Probe {
		p.ProbeHandler = corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: p.HTTPGet.Path, Scheme: p.HTTPGet.Scheme, Port: intstr.FromInt32(80)}}
		return &p
	}
	get := func(path string, scheme corev1.URIScheme) corev1.ProbeHandler {
		return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Scheme: scheme}}
	}
	type change = func(*corev1.PodSpec, *corev1.Container)
	for name, tc := range map[string]struct{ writtenOut, omitted change }{
		"a pull policy, whichever it is": {writtenOut: func(_ *corev1.PodSpec, c *corev1.Container) { c.ImagePullPolicy = corev1.PullNever }},
		"where the termination message is": {writtenOut: func(_ *corev1.PodSpec, c *corev1.Container) {
			c.TerminationMessagePath, c.TerminationMessagePolicy = "/dev/termination-log", corev1.TerminationMessageReadFile
		}},
		"policies of the Pod": {writtenOut: func(p *corev1.PodSpec, _ *corev1.Container) {
			p.DNSPolicy, p.RestartPolicy, p.SchedulerName = corev1.DNSClusterFirst, corev1.RestartPolicyAlways, "default-scheduler"
			p.SecurityContext, p.TerminationGracePeriodSeconds, p.EnableServiceLinks = &corev1.PodSecurityContext{}, new(int64(30)), new(true)
		}},
		"the old name of the account": {
			writtenOut: func(p *corev1.PodSpec, _ *corev1.Container) {
				p.ServiceAccountName, p.DeprecatedServiceAccount = "web", "web"
			},
			omitted: func(p *corev1.PodSpec, _ *corev1.Container) { p.ServiceAccountName = "web" },
		},
		"the version of a field that the environment takes": {
			writtenOut: func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Env = []corev1.EnvVar{{Name: "ME", ValueFrom: fieldRef("v1")}}
			},
			omitted: func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Env = []corev1.EnvVar{{Name: "ME", ValueFrom: fieldRef("")}}
			},
		},
		"the times of a probe": {
			writtenOut: func(_ *corev1.PodSpec, c *corev1.Container) {
				c.ReadinessProbe = probe(corev1.Probe{TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3, ProbeHandler: get("/", "HTTP")})
			},
			omitted: func(_ *corev1.PodSpec, c *corev1.Container) {
				c.ReadinessProbe = probe(corev1.Probe{ProbeHandler: get("", "")})
			},
		},
		"a request as large as its limit": {
			writtenOut: func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Resources = corev1.ResourceRequirements{Limits: amount("1", ""), Requests: amount("1", "")}
			},
			omitted: func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Resources = corev1.ResourceRequirements{Limits: amount("1", "")}
			},
		},
		"the port of the host on the host's network": {
			writtenOut: func(p *corev1.PodSpec, c *corev1.Container) {
				p.HostNetwork, c.Ports = true, []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, Protocol: corev1.ProtocolTCP}}
			},
			omitted: func(p *corev1.PodSpec, c *corev1.Container) {
				p.HostNetwork, c.Ports = true, []corev1.ContainerPort{{ContainerPort: 80}}
			},
		},
		"what says nothing": {writtenOut: func(p *corev1.PodSpec, c *corev1.Container) {
			p.Affinity, c.SecurityContext, c.Lifecycle = &corev1.Affinity{}, &corev1.SecurityContext{}, &corev1.Lifecycle{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			template := func(image string, change change) *corev1.PodTemplateSpec {
				out := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}}
				if change != nil {
					change(&out.Spec, &out.Spec.Containers[0])
				}
				return out
			}
			for _, pair := range [][2]*corev1.PodTemplateSpec{
				{template("app:v1", tc.writtenOut), template("app:v2", tc.omitted)},
				{template("app:v1", tc.omitted), template("app:v2", tc.writtenOut)},
			} {
				before := pair[0].DeepCopy()
				spec, verdict := inplace.Diff(pair[0], pair[1], inplace.Options{VerticalScaling: true})
				require.True(t, verdict.OK, verdict.Message)
				assert.Equal(t, inplace.Spec{Images: map[string]string{"main": "app:v2"}, Labels: map[string]*string{}, Annotations: map[string]*string{}}, spec)
				assert.Equal(t, before, pair[0], "the templates are left as they are")
			}
		})
	}
}

func TestAPullPolicyThatBothSidesWriteCannotChangeInPlace(t *testing.T) {
	template := func(policy corev1.PullPolicy) *corev1.PodTemplateSpec {
		return &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "app:v1", ImagePullPolicy: policy}}}}
	}
	_, verdict := inplace.Diff(template(corev1.PullAlways), template(corev1.PullIfNotPresent), inplace.Options{})
	assert.Equal(t, "spec.template.spec.containers[0].imagePullPolicy cannot change in place", verdict.Message)
}
