// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/keelson/keelson/webhooks/convert"
)

// keeping is a v1beta1 set whose annotation keeps fields of v1alpha1 beside one that does not fit, as a user can write it.
func keeping(fields string, more ...string) string {
	annotations := []string{fmt.Sprintf("%q: %q", convert.SpokeFieldsAnnotation, `{"spec":{"replicas":7,"updateStrategy":{"rollingUpdate":`+fields+`}}}`)}
	return `{"apiVersion":"apps.kruise.io/v1beta1","kind":"CloneSet","metadata":{"name":"web","annotations":{` + strings.Join(append(annotations, more...), ",") +
		`}},"spec":{"replicas":1,"updateStrategy":{"type":"RollingUpdate"}}}`
}

// wide is an object of so many fields, deep one of so many objects in each other with a field beside each, long one with a list of so many elements.
func wide(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"x%d":%d`, i, i)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func deep(n int) string {
	return strings.Repeat(`{"a":1,"b":`, n) + "{}" + strings.Repeat("}", n)
}

func long(n int) string {
	return `{"x":[` + strings.Repeat("1,", n) + "1]}"
}

// allocated is how many bytes it takes to do something. What is copied again and again shows in it, on a busy machine as on an idle one.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Four times as much may take five times as much, and must not take sixteen times.
func TestTheWorkOfAConversionGrowsWithTheObjectAndNoFaster(t *testing.T) {
	for name, object := range map[string]func(n int) string{
		"with fields beside each other": func(n int) string { return keeping(wide(n)) },
		"with fields in each other":     func(n int) string { return keeping(deep(n)) },
		"with a list":                   func(n int) string { return keeping(long(n)) },
		"with annotations of its own": func(n int) string {
			return keeping(wide(200), strings.Trim(strings.ReplaceAll(wide(n), "x", "own/x"), "{}"))
		},
		"with fields of another meaning": func(n int) string {
			return strings.ReplaceAll(keeping(wide(n)), "rollingUpdate", "inPlaceUpdateStrategy")
		},
	} {
		t.Run(name, func(t *testing.T) {
			work := func(n int) uint64 {
				body := strings.ReplaceAll(strings.ReplaceAll(review, "v1beta1", "v1alpha1"), "OBJECTS", object(n))
				require.Equal(t, "Success", responseOf(t, post(t, body)).Result.Status)
				return allocated(func() { post(t, body) })
			}
			little, much := work(500), work(2000)
			assert.Less(t, much, 5*little, "%d bytes for 500, %d for 2000", little, much)
		})
	}
}

// Admission refuses such. One that was stored before is read all the same.
func TestWhatWasStoredTooLargeIsRead(t *testing.T) {
	fields := func(t *testing.T, text string) map[string]any {
		t.Helper()
		obj := converted(t, parse(t, text, beta), alpha)
		strategy, _ := obj["spec"].(map[string]any)["updateStrategy"].(map[string]any)
		kept, _ := strategy["rollingUpdate"].(map[string]any)
		return kept
	}
	fits := strings.Replace(keeping(wide(5000)), `\"replicas\":7,`, "", 1)
	assert.Len(t, fields(t, fits), 5000, "all of it is there where all of it fits")
	assert.Len(t, fields(t, keeping(wide(5000))), convert.MaxLeaves-1, "else as much as is looked at, beside the one that does not fit")
	assert.Len(t, fields(t, keeping(wide(200))), 200)
}

// One that was stored before admission kept room free must at least be found.
func TestAnObjectWithoutRoomForWhatIsKeptIsNamed(t *testing.T) {
	object := func(bytes int) string {
		return fmt.Sprintf(`{"apiVersion":"apps.kruise.io/v1beta1","kind":"CloneSet","metadata":{"name":"web","namespace":"n","labels":{%q:"true"},"annotations":{"own/a":%q}},"spec":{}}`,
			"apps.kruise.io/cloneset-scaling-exclude-preparing-delete", strings.Repeat("x", bytes-len("own/a")))
	}
	toAlpha := func(bytes int) string {
		return strings.ReplaceAll(strings.Replace(review, "v1beta1", "v1alpha1", 1), "OBJECTS", object(bytes))
	}
	assert.Equal(t, "Success", responseOf(t, post(t, toAlpha(131072))).Result.Status)
	refused := responseOf(t, post(t, toAlpha(262144))).Result
	assert.Equal(t, "Failure", refused.Status)
	assert.Contains(t, refused.Message, "objects[0]: n/web: converting CloneSet: its annotations would have")
	assert.Contains(t, refused.Message, "more than the 262144 that Kubernetes takes: remove some in the other version")
}

func TestCheckSize(t *testing.T) {
	for name, tc := range map[string]struct{ text, wantErr string }{
		"nothing":                        {},
		"what conversion writes":         {text: `{"spec":{"updateStrategy":{"rollingUpdate":{"podUpdatePolicy":"InPlaceOnly"}}}}`},
		"as many fields as may be":       {text: wide(convert.MaxLeaves)},
		"one field more":                 {text: wide(convert.MaxLeaves + 1), wantErr: "it keeps more than 256 fields"},
		"a list is one field":            {text: long(1000)},
		"very deep is one field":         {text: deep(1000)},
		"as long as may be":              {text: strings.Repeat("x", convert.MaxBytes)},
		"one byte more":                  {text: strings.Repeat("x", convert.MaxBytes+1), wantErr: "it has 16385 bytes, more than 16384"},
		"what cannot be read is no work": {text: strings.Repeat("{", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			err := convert.CheckSize(tc.text)
			if tc.wantErr == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, tc.wantErr)
		})
	}
}

func TestConversionStopsWhenNobodyWaits(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	obj := parse(t, keeping(wide(100)), beta)
	before := bytes(t, obj)
	require.ErrorIs(t, convert.CloneSet(gone, obj, alpha), context.Canceled)
	assert.Equal(t, before, bytes(t, obj), "the object is as it was")

	recorder := httptest.NewRecorder()
	body := strings.NewReader(strings.ReplaceAll(review, "OBJECTS", keeping(`{}`)))
	convert.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/convert", body).WithContext(gone))
	assert.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	assert.Contains(t, recorder.Body.String(), "nobody waits for it any more")
}

// unread fails whoever reads it.
type unread struct{}

func (unread) Read([]byte) (int, error) { return 0, errors.New("it was read") }

// endless never ends.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	if e.n == 0 {
		p[0] = '"'
	}
	e.n += len(p)
	return len(p), nil
}

func TestHandlerRefusesWhatIsTooLarge(t *testing.T) {
	const limit = 64 << 20
	t.Run("by what it says of itself, unread", func(t *testing.T) {
		request := httptest.NewRequest(http.MethodPost, "/convert", unread{})
		request.ContentLength = limit + 1
		recorder := httptest.NewRecorder()
		convert.Handler().ServeHTTP(recorder, request)
		assert.Equal(t, http.StatusRequestEntityTooLarge, recorder.Code)
		assert.Contains(t, recorder.Body.String(), "it has more than 67108864 bytes: list fewer objects at once")
	})
	t.Run("by what it turns out to be", func(t *testing.T) {
		body := &endless{}
		recorder := httptest.NewRecorder()
		convert.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/convert", body))
		assert.Equal(t, http.StatusRequestEntityTooLarge, recorder.Code)
		assert.Contains(t, recorder.Body.String(), "it has more than 67108864 bytes")
		assert.Less(t, body.n, 2*limit, "and not read on")
	})
}
