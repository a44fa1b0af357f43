// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package v1beta1_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

func TestASpecThatHoldsNonsenseIsReadAsFarAsCanBe(t *testing.T) {
	for name, tc := range map[string]struct {
		spec         string
		want         string
		wantReplicas bool
	}{
		"a quantity":         {spec: `{"replicas":3,"volumeClaimTemplates":[{"spec":{"resources":{"requests":{"storage":"lots"}}}}]}`, want: "quantities must match", wantReplicas: true},
		"a type in the Pods": {spec: `{"replicas":3,"template":{"spec":{"containers":"none"}}}`, want: "containers", wantReplicas: true},
		"a large number":     {spec: `{"replicas":3,"scaleStrategy":{"maxUnavailable":99999999999}}`, want: "99999999999"},
	} {
		t.Run(name, func(t *testing.T) {
			var list kruisev1beta1.CloneSetList
			require.NoError(t, json.Unmarshal([]byte(`{"items":[{"metadata":{"name":"a"},"spec":`+tc.spec+`},{"metadata":{"name":"b"},"spec":{"replicas":2}}]}`), &list))
			require.Len(t, list.Items, 2)
			bad, good := list.Items[0], list.Items[1]
			assert.Contains(t, bad.Spec.Undecoded, tc.want)
			assert.Equal(t, tc.wantReplicas, bad.Spec.Replicas != nil && *bad.Spec.Replicas == 3)
			_, err := json.Marshal(bad)
			assert.ErrorContains(t, err, "would lose", "nobody may write back the half")
			assert.Empty(t, good.Spec.Undecoded)
			_, err = json.Marshal(good.DeepCopy())
			assert.NoError(t, err)
		})
	}
}

func TestAnEmptyStrategyIsLeftToTheDefaults(t *testing.T) {
	raw, err := json.Marshal(kruisev1beta1.CloneSet{Spec: kruisev1beta1.CloneSetSpec{Selector: &metav1.LabelSelector{}}})
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "updateStrategy", "what is there gets no default")
	assert.Contains(t, string(raw), `"selector":{}`)
}
