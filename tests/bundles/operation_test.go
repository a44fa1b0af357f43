// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package bundles_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/resmap"
)

// all decodes the objects of a kind.
func all[T any](t *testing.T, m resmap.ResMap, kind string) []*T {
	t.Helper()
	var out []*T
	for _, r := range m.Resources() {
		if r.GetKind() == kind {
			out = append(out, decode[T](t, r))
		}
	}
	return out
}

// templates are the templates of the Pods of the programs, by the name of what makes them.
func templates(t *testing.T, m resmap.ResMap) map[string]corev1.PodTemplateSpec {
	t.Helper()
	found := map[string]corev1.PodTemplateSpec{}
	for _, d := range all[appsv1.Deployment](t, m, "Deployment") {
		found[d.Name] = d.Spec.Template
	}
	for _, d := range all[appsv1.DaemonSet](t, m, "DaemonSet") {
		found[d.Name] = d.Spec.Template
	}
	require.Len(t, found, 3)
	return found
}

func selects(t *testing.T, selector *metav1.LabelSelector, template corev1.PodTemplateSpec) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	require.NoError(t, err)
	return s.Matches(labels.Set(template.Labels))
}

func TestTheCollectorOfGarbageKnowsTheLimitOfMemory(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		for _, program := range []string{"kruise-controller-manager", "kruise-webhook"} {
			container := templates(t, m)[program].Spec.Containers[0]
			i := slices.IndexFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			require.GreaterOrEqual(t, i, 0, program)
			// The units of Go are those of Kubernetes with a B.
			require.Regexp(t, `^\d+MiB$`, container.Env[i].Value, program)
			text := container.Env[i].Value
			told, limit := resource.MustParse(text[:len(text)-1]), container.Resources.Limits.Memory()
			assert.InDelta(t, 0.9, float64(told.Value())/float64(limit.Value()), 0.02, "%s: GOMEMLIMIT is nine tenths of the limit", program)
		}
	})
}

func TestNodesCanBeDrainedAndReplicasAreSpread(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		budgets := all[policyv1.PodDisruptionBudget](t, m, "PodDisruptionBudget")
		for _, d := range all[appsv1.Deployment](t, m, "Deployment") {
			i := slices.IndexFunc(budgets, func(b *policyv1.PodDisruptionBudget) bool { return selects(t, b.Spec.Selector, d.Spec.Template) })
			require.GreaterOrEqual(t, i, 0, d.Name)
			require.NotNil(t, budgets[i].Spec.UnhealthyPodEvictionPolicy, d.Name)
			assert.Equal(t, policyv1.AlwaysAllow, *budgets[i].Spec.UnhealthyPodEvictionPolicy, d.Name)
			require.NotEmpty(t, d.Spec.Template.Spec.TopologySpreadConstraints, d.Name)
			for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
				assert.True(t, selects(t, c.LabelSelector, d.Spec.Template), d.Name)
				assert.Equal(t, []string{appsv1.DefaultDeploymentUniqueLabelKey}, c.MatchLabelKeys, d.Name)
			}
		}
	})
}

// open are the ports of a program that NetworkPolicies let others reach; a program that none selects is open.
func open(t *testing.T, m resmap.ResMap, template corev1.PodTemplateSpec) []string {
	t.Helper()
	isClosed, ports := false, []string{}
	for _, policy := range all[networkingv1.NetworkPolicy](t, m, "NetworkPolicy") {
		if !selects(t, &policy.Spec.PodSelector, template) {
			continue
		}
		assert.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, policy.Spec.PolicyTypes)
		isClosed = true
		for _, rule := range policy.Spec.Ingress {
			require.NotEmpty(t, rule.Ports, "%s: no ports are all ports", policy.Name)
			for _, p := range rule.Ports {
				require.Equal(t, intstr.String, p.Port.Type)
				require.True(t, slices.ContainsFunc(template.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == p.Port.StrVal }),
					"%s names the port %s, which is not there", policy.Name, p.Port.StrVal)
				ports = append(ports, p.Port.StrVal)
			}
		}
	}
	require.True(t, isClosed)
	return ports
}

func TestNobodyReachesAPortThatIsNotForThem(t *testing.T) {
	for overlay, extra := range map[string][]string{"default": nil, "all": {"metrics"}} {
		m := render(t, filepath.Join(root, "overlays", overlay))
		programs := templates(t, m)
		assert.ElementsMatch(t, append([]string{"health"}, extra...), open(t, m, programs["kruise-controller-manager"]), overlay)
		assert.ElementsMatch(t, append([]string{"webhook", "health"}, extra...), open(t, m, programs["kruise-webhook"]), overlay)
		assert.Empty(t, open(t, m, programs["kruise-daemon"]), overlay)
	}
}

// suggestedForAccounts is the precedence of the schema that Kubernetes has for all ServiceAccounts.
const suggestedForAccounts = 9000

func TestTheAPIServerKeepsAShareForUs(t *testing.T) {
	forEach(t, func(t *testing.T, m resmap.ResMap) {
		levels := all[flowcontrolv1.PriorityLevelConfiguration](t, m, "PriorityLevelConfiguration")
		require.Len(t, levels, 1)
		limited := levels[0].Spec.Limited
		assert.Less(t, *limited.LendablePercent, int32(100), "something is kept")
		assert.LessOrEqual(t, *limited.NominalConcurrencyShares, int32(40), "and not more than controllers of Kubernetes itself have")
		assert.Equal(t, flowcontrolv1.LimitResponseTypeQueue, limited.LimitResponse.Type, "what is too much waits, and is not refused")

		precedence, lease, reviews := map[string]int32{}, int32(0), int32(0)
		for _, schema := range all[flowcontrolv1.FlowSchema](t, m, "FlowSchema") {
			require.Len(t, schema.Spec.Rules, 1, schema.Name)
			var accounts []string
			for _, s := range schema.Spec.Rules[0].Subjects {
				accounts = append(accounts, s.ServiceAccount.Name)
			}
			assert.Less(t, schema.Spec.MatchingPrecedence, int32(suggestedForAccounts), schema.Name)
			first := schema.Spec.Rules[0].ResourceRules[0]
			switch schema.Spec.PriorityLevelConfiguration.Name {
			case "leader-election":
				lease = schema.Spec.MatchingPrecedence
				assert.Equal(t, []string{"kruise-manager"}, accounts)
				assert.Equal(t, []string{"leases"}, first.Resources)
				assert.NotContains(t, first.Namespaces, "*", "only ours is ahead of all")
				continue
			case "workload-low":
				reviews = schema.Spec.MatchingPrecedence
				assert.Equal(t, []string{"kruise-manager", "kruise-webhook"}, accounts)
				assert.Equal(t, []string{"tokenreviews", "subjectaccessreviews"}, first.Resources)
				continue
			}
			require.Len(t, accounts, 1, schema.Name)
			account := accounts[0]
			assert.Equal(t, levels[0].Name, schema.Spec.PriorityLevelConfiguration.Name, schema.Name)
			precedence[account] = schema.Spec.MatchingPrecedence
		}
		assert.Len(t, precedence, 3, "each program has a flow of its own")
		assert.Positive(t, lease)
		assert.Positive(t, reviews)
		for _, account := range []string{"kruise-manager", "kruise-webhook"} {
			assert.Less(t, reviews, precedence[account], "what whoever asks for metrics causes takes no part of what is kept for %s", account)
		}
		assert.Less(t, lease, precedence["kruise-manager"], "the lease goes ahead of what else its holder writes")
	})
}

// mayReview reports which ServiceAccounts may ask about tokens and the rights of others.
func mayReview(t *testing.T, m resmap.ResMap) []string {
	t.Helper()
	roles := map[string]bool{}
	for _, role := range all[rbacv1.ClusterRole](t, m, "ClusterRole") {
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "tokenreviews") || slices.Contains(rule.Resources, "subjectaccessreviews") {
				assert.Equal(t, []string{"create"}, rule.Verbs)
				roles[role.Name] = true
			}
		}
	}
	accounts := map[string]bool{}
	for _, b := range all[rbacv1.ClusterRoleBinding](t, m, "ClusterRoleBinding") {
		for _, s := range b.Subjects {
			if roles[b.RoleRef.Name] {
				accounts[s.Name] = true
			}
		}
	}
	return sorted(accounts)
}

func TestMetricsAreOpenedByTheirComponentAlone(t *testing.T) {
	closed := render(t, filepath.Join(root, "overlays", "default"))
	assert.Empty(t, mayReview(t, closed), "nobody asks about tokens where none are sent")
	m := render(t, "testdata/monitored")
	assert.Equal(t, []string{"kruise-manager", "kruise-webhook"}, mayReview(t, m))
	programs, services := templates(t, m), all[corev1.Service](t, m, "Service")
	for _, program := range []string{"kruise-controller-manager", "kruise-webhook"} {
		assert.Contains(t, programs[program].Spec.Containers[0].Args, "--metrics-addr=:8443", program)
		assert.NotContains(t, templates(t, closed)[program].Spec.Containers[0].Args, "--metrics-addr=:8443", program)
		assert.True(t, slices.ContainsFunc(services, func(s *corev1.Service) bool {
			return s.Labels["apps.kruise.io/metrics"] == "keelson" && s.Spec.Ports[0].Name == "metrics" &&
				labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(programs[program].Labels))
		}), "%s has a Service that is scraped", program)
	}
	monitors := all[struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Selector  metav1.LabelSelector `json:"selector"`
			Endpoints []map[string]any     `json:"endpoints"`
		} `json:"spec"`
	}](t, m, "ServiceMonitor")
	require.Len(t, monitors, 1)
	assert.Equal(t, map[string]string{"apps.kruise.io/metrics": "keelson"}, monitors[0].Spec.Selector.MatchLabels)
	require.Len(t, monitors[0].Spec.Endpoints, 1)
	assert.Equal(t, "metrics", monitors[0].Spec.Endpoints[0]["port"])
	assert.Equal(t, "https", monitors[0].Spec.Endpoints[0]["scheme"])
}
