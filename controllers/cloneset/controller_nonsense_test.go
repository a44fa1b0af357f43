// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// survivesNonsense stores a set, past the webhook, that no program can decode. One tenant's set must not keep all others from being seen.
func survivesNonsense(t *testing.T, w *world) {
	namespace := w.namespace(t)
	bad := makeSet(namespace, 1)
	bad.Name, bad.Spec.Template.Labels["app"], bad.Spec.Selector.MatchLabels["app"] = "bad", "bad", "bad"
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(bad)
	require.NoError(t, err)
	stored := &unstructured.Unstructured{Object: fields}
	stored.SetGroupVersionKind(kruisev1beta1.GroupVersion.WithKind("CloneSet"))
	claim := map[string]any{"metadata": map[string]any{"name": "data"}, "spec": map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": "lots"}}}}
	require.NoError(t, unstructured.SetNestedSlice(stored.Object, []any{claim}, "spec", "volumeClaimTemplates"))
	require.NoError(t, w.Create(t.Context(), stored))

	w.bringUp(t, makeSet(namespace, 2))
	eventually(t, "it says what is wrong", func(ctx context.Context) (bool, string) {
		set := &kruisev1beta1.CloneSet{}
		if err := w.Get(ctx, client.ObjectKeyFromObject(bad), set); err != nil {
			return false, err.Error()
		}
		message := findCondition(set, kruisev1beta1.CloneSetConditionStalled).Message
		return strings.Contains(message, "quantities must match"), fmt.Sprint(set.Status)
	})
	require.NoError(t, w.Patch(t.Context(), stored, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"volumeClaimTemplates":null}}`))))
	eventually(t, "and goes on when it is mended", w.isReady(bad))
}
