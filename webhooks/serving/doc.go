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
// The order is what matters: nobody serves with a certificate before the API server trusts its authority. An authority that another replaced stays
// trusted for an hour, and as long as a replica serves with it; then it is dropped. So no valid request is refused in a rotation, and a stolen authority
// ends. Certificates themselves are made and checked by cert-controller; what it does besides, it does by Update and with a cache of all Secrets of a
// namespace, which is why this package has a watch of its own.
package serving
