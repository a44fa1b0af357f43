// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"testing"

	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "default") }
