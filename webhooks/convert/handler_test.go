// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/keelson/keelson/webhooks/convert"
)

const review = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u","desiredAPIVersion":"apps.kruise.io/v1beta1","objects":[OBJECTS]}}`

func TestHandlerConverts(t *testing.T) {
	objects := `{"apiVersion":"apps.kruise.io/v1alpha1","kind":"CloneSet","metadata":{"name":"a","namespace":"n"},"spec":{"updateStrategy":{"type":"OnDelete","partition":0,"maxUnavailable":"20%","maxSurge":0}}},
	  {"apiVersion":"apps.kruise.io/v1beta1","kind":"CloneSet","metadata":{"name":"b","namespace":"n"},"spec":{"template":{"z":1,"a":[2.5]}}}`
	first := post(t, strings.ReplaceAll(review, "OBJECTS", objects))
	require.Equal(t, http.StatusOK, first.Code)
	assert.Equal(t, "application/json", first.Header().Get("Content-Type"))

	response := responseOf(t, first)
	assert.Equal(t, "Success", response.Result.Status)
	assert.EqualValues(t, "u", response.UID)
	require.Len(t, response.ConvertedObjects, 2)
	assert.JSONEq(t, `{"apiVersion":"apps.kruise.io/v1beta1","kind":"CloneSet","metadata":{"name":"a","namespace":"n"},
	  "spec":{"scaleStrategy":{"enablePVCReuse":true},"updateStrategy":{"type":"OnDelete"}}}`, withoutKept(t, response.ConvertedObjects[0].Raw))
	assert.JSONEq(t, `{"apiVersion":"apps.kruise.io/v1beta1","kind":"CloneSet","metadata":{"name":"b","namespace":"n"},"spec":{"template":{"z":1,"a":[2.5]}}}`,
		string(response.ConvertedObjects[1].Raw))

	second := post(t, strings.ReplaceAll(review, "OBJECTS", objects))
	assert.Equal(t, first.Body.String(), second.Body.String(), "equal reviews get equal bytes")
}

func TestHandlerOfAnEmptyReview(t *testing.T) {
	response := responseOf(t, post(t, strings.ReplaceAll(review, "OBJECTS", "")))
	assert.Equal(t, "Success", response.Result.Status)
	assert.Empty(t, response.ConvertedObjects)
}

func TestHandlerRefusesAnObject(t *testing.T) {
	good := `{"apiVersion":"apps.kruise.io/v1alpha1","kind":"CloneSet","metadata":{"name":"a"}}`
	tests := map[string]struct{ object, wantMessage string }{
		"of another kind": {
			object:      `{"apiVersion":"apps.kruise.io/v1alpha1","kind":"Other","metadata":{"name":"o","namespace":"n"}}`,
			wantMessage: `objects[1]: n/o: converting: there is no conversion of kind "Other"`,
		},
		"with a nonsensical field": {
			object:      `{"apiVersion":"apps.kruise.io/v1alpha1","kind":"CloneSet","metadata":{"name":"o"},"spec":{"updateStrategy":[]}}`,
			wantMessage: "objects[1]: o: converting CloneSet: reading spec.updateStrategy: reading updateStrategy: it must be an object",
		},
		"that is none": {object: `[]`, wantMessage: "objects[1]: parsing"},
		"that is null": {object: `null`, wantMessage: "objects[1]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			response := responseOf(t, post(t, strings.ReplaceAll(review, "OBJECTS", good+","+tc.object)))
			assert.Equal(t, "Failure", response.Result.Status)
			assert.Contains(t, response.Result.Message, tc.wantMessage)
			assert.Empty(t, response.ConvertedObjects)
			assert.EqualValues(t, "u", response.UID)
		})
	}
}

func TestHandlerRefusesWhatIsNoReview(t *testing.T) {
	tests := map[string]struct{ body, wantBody string }{
		"nothing":               {body: "", wantBody: "reading the ConversionReview"},
		"no JSON":               {body: "{", wantBody: "reading the ConversionReview"},
		"another kind":          {body: `{"apiVersion":"v1","kind":"Pod"}`, wantBody: "it must be a ConversionReview of apiextensions.k8s.io/v1"},
		"an old version":        {body: `{"apiVersion":"apiextensions.k8s.io/v1beta1","kind":"ConversionReview"}`, wantBody: "it must be a ConversionReview of apiextensions.k8s.io/v1"},
		"no request":            {body: `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview"}`, wantBody: "it has no request"},
		"a request without UID": {body: `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{}}`, wantBody: "request.uid is empty"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := post(t, tc.body)
			assert.Equal(t, http.StatusBadRequest, got.Code)
			assert.Contains(t, got.Body.String(), tc.wantBody)
		})
	}
	recorder := httptest.NewRecorder()
	convert.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/convert", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, recorder.Code)
}

func post(t *testing.T, body string) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	convert.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/convert", strings.NewReader(body)))
	return recorder
}

func responseOf(t *testing.T, recorder *httptest.ResponseRecorder) *apiextensionsv1.ConversionResponse {
	t.Helper()
	got := &apiextensionsv1.ConversionReview{}
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), got))
	require.NotNil(t, got.Response)
	assert.Equal(t, "apiextensions.k8s.io/v1", got.APIVersion)
	return got.Response
}

func withoutKept(t *testing.T, raw []byte) string {
	t.Helper()
	obj := map[string]any{}
	require.NoError(t, json.Unmarshal(raw, &obj))
	return bytes(t, forget(obj))
}
