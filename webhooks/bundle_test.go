// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestThePodLivesLongerThanTheProgramNeedsToStop(t *testing.T) {
	bundle, err := os.ReadFile("../bundles/webhooks/deployment.yaml")
	require.NoError(t, err)
	found := regexp.MustCompile(`terminationGracePeriodSeconds: (\d+)`).FindSubmatch(bundle)
	require.NotNil(t, found)
	seconds, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	assert.Greater(t, time.Duration(seconds)*time.Second, lingerFor+shutdownTimeout, "else the kubelet kills it while it answers")
}
