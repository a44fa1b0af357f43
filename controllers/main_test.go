// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

func TestTheLeaseIsRenewedOnAConnectionOfItsOwn(t *testing.T) {
	config := &rest.Config{Host: "https://example.com", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	transport := func(c *rest.Config) any {
		made, err := rest.TransportFor(c)
		require.NoError(t, err)
		return made
	}
	require.Same(t, transport(config), transport(rest.CopyConfig(config)), "a copy of a configuration shares its connections")
	assert.NotSame(t, transport(config), transport(electionConfig(config)))
}
