// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cannotRelease takes a Pod out of a set whose controllers somebody's policy forbids to touch it: the others are looked after all the same.
func cannotRelease(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 2)
	locked := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: "locked", Labels: map[string]string{"locked": "yes"}}, Spec: set.Spec.Template.Spec}
	require.NoError(t, w.Create(t.Context(), locked))
	w.forbid(t, "update-of-locked", `!("locked" in object.metadata.labels)`)
	eventually(t, "the policy holds", func(ctx context.Context) (bool, string) {
		controllers, err := client.New(w.restricted, client.Options{})
		if err == nil {
			err = controllers.Patch(ctx, locked, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`)), client.DryRunAll)
		}
		return apierrors.IsForbidden(err), fmt.Sprint(err)
	})
	require.NoError(t, w.Create(t.Context(), set))
	w.playKubelet(t, set.Namespace)
	eventually(t, "the set is there", w.isReady(set))
	mine, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	out := &mine[0]
	require.NoError(t, w.Patch(t.Context(), out, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other","locked":"yes"}}}`))))
	eventually(t, "another stands in, though the Pod cannot be released", func(ctx context.Context) (bool, string) {
		all, err := w.pods(ctx, set)
		return err == nil && len(all) == 3, fmt.Sprint(len(all), err)
	})
	eventually(t, "that is told", func(ctx context.Context) (bool, string) {
		told := w.events(ctx, set, "FailedRelease")
		return len(told) > 0, fmt.Sprint(told)
	})
	require.NoError(t, w.Get(t.Context(), client.ObjectKeyFromObject(out), out))
	assert.True(t, metav1.IsControlledBy(out, set))
}

// forbid lets a policy refuse each update of a Pod by the controllers for which an expression does not hold, until the test ends.
func (w *world) forbid(t *testing.T, name, expression string) {
	t.Helper()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	policy.Spec.MatchConstraints = &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
		RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		},
	}}}
	policy.Spec.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "by-the-controllers", Expression: `request.userInfo.username == "controllers"`}}
	policy.Spec.Validations = []admissionregistrationv1.Validation{{Expression: expression, Message: "not this one", Reason: ptr.To(metav1.StatusReasonForbidden)}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
	binding.Spec.PolicyName, binding.Spec.ValidationActions = name, []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}
	for _, object := range []client.Object{policy, binding} {
		require.NoError(t, w.Create(t.Context(), object))
		t.Cleanup(func() { require.NoError(t, w.Delete(context.Background(), object)) })
	}
}
