// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/randfill/bytesource"

	"github.com/keelson/keelson/webhooks/convert"
)

// FuzzConversion converts objects as they come, and objects that are made of what the two versions could trip over, there and back again.
func FuzzConversion(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"metadata":null,"spec":null}`, `{"spec":[]}`, `{"spec":{"updateStrategy":[]}}`, `{"spec":{"updateStrategy":{"type":7}}}`,
		`{"metadata":{"labels":{"apps.kruise.io/cloneset-scaling-exclude-preparing-delete":"true"}}}`,
		`{"metadata":{"annotations":{"apps.kruise.io/image-predownload-parallelism":"20%","apps.kruise.io/v1beta1-fields":"{\"spec\":[]}"}}}`,
		`{"spec":{"scaleStrategy":{"disablePVCReuse":null},"updateStrategy":{"type":"OnDelete","partition":"50%","rollingUpdate":{"paused":true}}}}`,
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, isAlpha bool) {
		from, to := beta, alpha
		if isAlpha {
			from, to = alpha, beta
		}
		made := randomCloneSet(rand.New(bytesource.New(raw)), from)
		there := converted(t, made, to)
		require.Equal(t, bytes(t, made), bytes(t, converted(t, there, from)), "by way of %s", bytes(t, there))

		var obj map[string]any
		if utiljson.Unmarshal(raw, &obj) != nil || obj == nil {
			return
		}
		obj["apiVersion"], obj["kind"] = from, "CloneSet"
		before := bytes(t, obj)
		if err := convert.CloneSet(t.Context(), obj, to); err != nil {
			require.Equal(t, before, bytes(t, obj), "an object that is refused is as it was")
			return
		}
		require.NoError(t, convert.CloneSet(t.Context(), obj, from), "what was converted can be converted back")
	})
}
