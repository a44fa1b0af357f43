// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package support is what the feature suites share: the cluster they run on, the installation of an overlay, fixtures that read as sentences,
// and a witness that watches availability from outside.
//
//	func TestMain(m *testing.M) { support.Main(m, "default") }
//
//	func TestSomething(t *testing.T) {
//		s := support.Begin(t)                    // a namespace of its own, removed at the end
//		s.Create(support.MakeCloneSet("web").Replicas(3).Obj())
//		s.WaitReady("web")
//	}
package support
