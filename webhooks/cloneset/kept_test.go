// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keelson/keelson/webhooks/convert"
)

func TestAnnotationsOfConversionAreBounded(t *testing.T) {
	many := make([]string, convert.MaxLeaves+1)
	for i := range many {
		many[i] = fmt.Sprintf(`\"x%d\":1`, i)
	}
	large, small := "{"+strings.Join(many, ",")+"}", `{\"spec\":{\"replicas\":7}}`
	object := func(version, key, text, image string) []byte {
		return []byte(fmt.Sprintf(`{"apiVersion":"apps.kruise.io/%s","kind":"CloneSet","metadata":{"name":"web","namespace":"shop","annotations":{"%s":"%s"}},
		  "spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"main","image":"web"}]}},
		  "updateStrategy":{%s}}}`, version, key, text, image))
	}
	for _, version := range []string{"v1alpha1", "v1beta1"} {
		for _, key := range []string{convert.HubFieldsAnnotation, convert.SpokeFieldsAnnotation} {
			for name, tc := range map[string]struct {
				old, updated string
				wantRefused  bool
			}{
				"a small one":                            {old: "{}", updated: small},
				"one that grows too large":               {old: small, updated: large, wantRefused: true},
				"one that was too large before may stay": {old: large, updated: large},
				"and may go":                             {old: large, updated: small},
			} {
				t.Run(version+" "+key+": "+name, func(t *testing.T) {
					kind := metav1.GroupVersionKind{Group: "apps.kruise.io", Version: version, Kind: "CloneSet"}
					response := (&Validator{}).Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
						Operation: admissionv1.Update, Namespace: "shop", Kind: kind, RequestKind: &kind,
						OldObject: runtime.RawExtension{Raw: object(version, key, tc.old, "")},
						Object:    runtime.RawExtension{Raw: object(version, key, tc.updated, `"paused":true`)},
					}})
					require.Equal(t, !tc.wantRefused, response.Allowed, "%+v", response.Result)
					if tc.wantRefused {
						assert.Equal(t, metav1.StatusReasonInvalid, response.Result.Reason)
						assert.Contains(t, response.Result.Message, "metadata.annotations["+key+"]: Invalid value: remove it")
						assert.Contains(t, response.Result.Message, "it keeps more than 256 fields")
					}
				})
			}
		}
	}
}
