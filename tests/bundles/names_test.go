// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package bundles_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
)

// renamed is an overlay of a user who chose another namespace, a prefix and a suffix.
const renamed = "testdata/renamed"

// name is a name that one object has, or calls another by. Namespace is empty for what belongs to none.
type name struct{ kind, namespace, name string }

// names are those of all objects. What kustomize does not know to belong to no namespace gets one, which the API server drops.
func names(m resmap.ResMap) map[name]bool {
	known := map[name]bool{}
	for _, r := range m.Resources() {
		known[name{r.GetKind(), r.GetNamespace(), r.GetName()}] = true
		known[name{r.GetKind(), "", r.GetName()}] = true
	}
	return known
}

// references are the names that an object calls others by.
func references(t *testing.T, r *resource.Resource) []name {
	t.Helper()
	var found []name
	switch r.GetKind() {
	case "ClusterRoleBinding", "RoleBinding":
		b := decode[rbacv1.RoleBinding](t, r)
		found = append(found, name{b.RoleRef.Kind, map[string]string{"Role": r.GetNamespace()}[b.RoleRef.Kind], b.RoleRef.Name})
		for _, s := range b.Subjects {
			found = append(found, name{s.Kind, s.Namespace, s.Name})
		}
	case "ClusterRole", "Role":
		kinds := map[string]string{
			"secrets": "Secret", "customresourcedefinitions": "CustomResourceDefinition", "validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
		}
		for _, rule := range decode[rbacv1.ClusterRole](t, r).Rules {
			for _, n := range rule.ResourceNames {
				if kind, isObject := kinds[rule.Resources[0]]; isObject {
					found = append(found, name{kind, r.GetNamespace(), n})
				}
			}
		}
	case "ValidatingAdmissionPolicyBinding":
		found = append(found, name{"ValidatingAdmissionPolicy", "", decode[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, r).Spec.PolicyName})
	case "ValidatingWebhookConfiguration":
		for _, hook := range decode[admissionregistrationv1.ValidatingWebhookConfiguration](t, r).Webhooks {
			found = append(found, name{"Service", hook.ClientConfig.Service.Namespace, hook.ClientConfig.Service.Name})
		}
	case "CustomResourceDefinition":
		service := decode[apiextensionsv1.CustomResourceDefinition](t, r).Spec.Conversion.Webhook.ClientConfig.Service
		found = append(found, name{"Service", service.Namespace, service.Name})
	case "FlowSchema":
		schema := decode[flowcontrolv1.FlowSchema](t, r)
		for _, rule := range schema.Spec.Rules {
			for _, s := range rule.Subjects {
				found = append(found, name{string(s.Kind), s.ServiceAccount.Namespace, s.ServiceAccount.Name})
			}
			for _, rule := range rule.ResourceRules {
				for _, namespace := range slices.DeleteFunc(rule.Namespaces, func(n string) bool { return n == flowcontrolv1.NamespaceEvery }) {
					found = append(found, name{"Namespace", "", namespace})
				}
			}
		}
	case "Deployment", "DaemonSet":
		found = append(found, referencesOfPods(t, r)...)
	}
	return found
}

// referencesOfPods are those of a template: its ServiceAccount, and what it tells its program by annotations.
func referencesOfPods(t *testing.T, r *resource.Resource) []name {
	t.Helper()
	var template corev1.PodTemplateSpec
	if r.GetKind() == "Deployment" {
		template = decode[appsv1.Deployment](t, r).Spec.Template
	} else {
		template = decode[appsv1.DaemonSet](t, r).Spec.Template
	}
	found := []name{{"ServiceAccount", r.GetNamespace(), template.Spec.ServiceAccountName}}
	for key, kind := range map[string]string{"apps.kruise.io/webhook-service": "Service", "apps.kruise.io/webhook-secret": "Secret"} {
		if value, isThere := template.Annotations[key]; isThere {
			found = append(found, name{kind, r.GetNamespace(), value})
		}
	}
	return found
}

func requireNamesFit(t *testing.T, m resmap.ResMap) {
	t.Helper()
	known, count := names(m), 0
	for _, r := range m.Resources() {
		for _, n := range references(t, r) {
			count++
			assert.True(t, known[n], "%s %s calls %s %s/%s, which is not there", r.GetKind(), r.GetName(), n.kind, n.namespace, n.name)
		}
	}
	assert.Greater(t, count, 15, "names were looked at")
}

func TestNamesFitTogether(t *testing.T) {
	forEach(t, requireNamesFit)
}

func TestNamesFitTogetherWhenAUserChangesThem(t *testing.T) {
	m := render(t, renamed)
	requireNamesFit(t, m)
	text, err := m.AsYaml()
	require.NoError(t, err)
	assert.False(t, strings.Contains(string(text), "kruise-system"), "nothing is left in the namespace that nobody asked for")
	for _, r := range m.Resources() {
		if kind := r.GetKind(); kind != "Namespace" && kind != "CustomResourceDefinition" {
			assert.True(t, strings.HasPrefix(r.GetName(), "x-"), "%s %s", kind, r.GetName())
		}
	}
	known := names(m)
	for _, want := range []name{{"Namespace", "", "other"}, {"ServiceAccount", "other", "x-kruise-webhook-y"}, {"Service", "other", "x-kruise-webhook-service-y"}} {
		assert.True(t, known[want], "%v", want)
	}
}

func TestProgramsLearnTheirNamespaceFromTheirPod(t *testing.T) {
	for program, pod := range podSpecs(t, render(t, renamed)) {
		if strings.Contains(program, "daemon") {
			continue
		}
		var from []string
		for _, e := range pod.Containers[0].Env {
			if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
				from = append(from, e.Name+" "+e.ValueFrom.FieldRef.FieldPath)
			}
		}
		assert.Contains(t, from, "POD_NAMESPACE metadata.namespace", program)
	}
}

// TestPoliciesHoldThePowerAndNotAName shows that whoever gets a power that a policy limits is held by the policy, whatever the name.
func TestPoliciesHoldThePowerAndNotAName(t *testing.T) {
	// The verbs are those that a policy limits; another role of ours must not give them without the duty.
	limited := map[string]string{
		"patch /pods/status": "nodeagents", "create /podtemplates": "webhooks",
		"patch apiextensions.k8s.io/customresourcedefinitions": "webhooks", "patch admissionregistration.k8s.io/validatingwebhookconfigurations": "webhooks",
		"patch admissionregistration.k8s.io/mutatingwebhookconfigurations": "webhooks",
	}
	for _, dir := range append(overlays(t), renamed) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			duties := map[string]bool{}
			for _, r := range render(t, dir).Resources() {
				switch r.GetKind() {
				case "ValidatingAdmissionPolicy":
					policy := decode[admissionregistrationv1.ValidatingAdmissionPolicy](t, r)
					if len(policy.Spec.MatchConditions) == 0 {
						// It holds everybody.
						break
					}
					require.Len(t, policy.Spec.MatchConditions, 1)
					condition := policy.Spec.MatchConditions[0].Expression
					assert.NotContains(t, condition, "system:serviceaccount", "%s: a name changes", r.GetName())
					for _, duty := range []string{"nodeagents", "webhooks"} {
						if strings.Contains(condition, "authorizer.group('limits.kruise.io').resource('"+duty+"').check('obey').allowed()") {
							duties[duty] = true
						}
					}
					assert.Equal(t, admissionregistrationv1.Fail, *policy.Spec.FailurePolicy)
					for _, v := range policy.Spec.Validations {
						require.NotNil(t, v.Reason, v.Expression)
						assert.Equal(t, "Forbidden", string(*v.Reason), v.Expression)
					}
				case "ClusterRole", "Role":
					granted := map[string]bool{}
					for _, rule := range decode[rbacv1.ClusterRole](t, r).Rules {
						for _, group := range rule.APIGroups {
							add(granted, group, rule.Resources, rule.Verbs)
						}
					}
					assert.False(t, granted["exceed limits.kruise.io/webhooks"] || granted["exceed limits.kruise.io/nodeagents"], r.GetName())
					for power, duty := range limited {
						// The controllers write the status of Pods, too: readiness gates are what they are for.
						if granted[power] && !strings.Contains(r.GetName(), "kruise-manager-role") {
							assert.True(t, granted["obey limits.kruise.io/"+duty], "%s: whoever may %s obeys", r.GetName(), power)
						}
					}
				}
			}
			assert.Equal(t, []string{"nodeagents", "webhooks"}, sorted(duties))
		})
	}
}

func sorted(set map[string]bool) []string {
	var keys []string
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
