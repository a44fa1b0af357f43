// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package readiness keeps the condition KruisePodReady: several writers hold one Pod not ready, each by a key of its own, and the Pod is ready
// when the last of them lets go.
//
//	nobody holds it        True    []
//	a hook holds it        False   [{"userAgent":"Lifecycle","key":"preDeleteHook"}]
//	two hold it            False   [{"userAgent":"ContainerRecreateRequest","key":"ns/x"},{"userAgent":"Lifecycle","key":"preDeleteHook"}]
//
// INVARIANT: what one writer does keeps the keys of all others.
package readiness
