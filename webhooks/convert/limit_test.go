// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const empty = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u","desiredAPIVersion":"apps.kruise.io/v1beta1","objects":[]}}`

func TestWeigh(t *testing.T) {
	const mib = 1 << 20
	for name, tc := range map[string]struct{ length, want int64 }{
		"nothing":               {length: 0, want: 8 * mib},
		"one set":               {length: 4096, want: 8 * mib},
		"a list":                {length: 30 * mib, want: 30 * mib},
		"the largest":           {length: 64 * mib, want: 64 * mib},
		"one of unknown size":   {length: -1, want: 64 * mib},
		"one that is too large": {length: 65 * mib, want: 64 * mib},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, weigh(tc.length)) })
	}
	assert.Equal(t, []time.Duration{3 * time.Second, 10 * time.Second}, []time.Duration{readIn(weigh(0)), readIn(weigh(-1))})
}

func TestAReviewWaitsUntilThereIsRoom(t *testing.T) {
	d := newDoor()
	post := func(within time.Duration) int {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		recorder := httptest.NewRecorder()
		d.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/convert", strings.NewReader(empty)).WithContext(ctx))
		return recorder.Code
	}
	require.True(t, d.room.TryAcquire(7*leastWeight))
	assert.Equal(t, http.StatusOK, post(time.Minute), "eight get in")
	require.True(t, d.room.TryAcquire(leastWeight), "and what is over makes room")
	assert.Equal(t, http.StatusServiceUnavailable, post(50*time.Millisecond), "the ninth waits as long as its caller does")
	time.AfterFunc(50*time.Millisecond, func() { d.room.Release(leastWeight) })
	assert.Equal(t, http.StatusOK, post(time.Minute), "and gets in then")
}

func TestAReviewThatDoesNotArriveMakesRoom(t *testing.T) {
	d := newDoor()
	d.readIn = func(int64) time.Duration { return 50 * time.Millisecond }
	server := httptest.NewServer(d)
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { assert.NoError(t, connection.Close()) }()
	_, err = io.WriteString(connection, "POST /convert HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusRequestTimeout, response.StatusCode)
	assert.Contains(t, string(text), "reading the ConversionReview: it did not arrive in time")
	assert.Eventually(t, func() bool { return d.room.TryAcquire(room) }, 5*time.Second, time.Millisecond)
}

// One connection carries many reviews, and the limits of one are not those of the next.
func TestTheLimitsOfOneReviewAreNotThoseOfTheNext(t *testing.T) {
	d := newDoor()
	d.readIn = func(int64) time.Duration { return 200 * time.Millisecond }
	server := httptest.NewServer(d)
	defer server.Close()
	for range 3 {
		response, err := server.Client().Post(server.URL, "application/json", strings.NewReader(empty))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusOK, response.StatusCode)
		time.Sleep(250 * time.Millisecond)
	}
}
