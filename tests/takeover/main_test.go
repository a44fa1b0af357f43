// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package takeover_test lets Keelson start in a cluster that OpenKruise 1.9 ran.
package takeover_test

import (
	"testing"

	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "default") }
