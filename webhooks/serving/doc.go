// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package serving keeps the certificate that the webhooks serve with, and tells the API server which authority to trust.
//
//	Secret ── watched by every replica ──► valid? ── no ──► renew, update the Secret (one replica wins, the others read its work)
//	                                         │ yes
//	                                         ▼
//	                        publish the authority beside those that were trusted before   (server-side apply, own field manager)
//	                                         ▼
//	                        a moment later: serve with the new certificate
//
// The order is what matters: nobody serves with a certificate before the API server trusts its authority, and an authority is trusted until it
// expires. So no valid request is refused in a rotation. Certificates themselves are made and checked by cert-controller.
package serving
