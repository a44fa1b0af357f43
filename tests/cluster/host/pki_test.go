// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
)

func TestCertificatesAreTrusted(t *testing.T) {
	p, err := newPKI(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.issue("server", subject{user: "server", addresses: []string{"10.0.0.1", "name.svc"}}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(p.crt("server"), p.keyFile("server"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(p.crt("ca"))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("reading the authority: %v", err)
	}
	for _, name := range []string{"10.0.0.1", "name.svc"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.issueKubeconfig("admin", "https://10.0.0.1:6443", subject{user: "me", groups: []string{"system:masters"}}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(p.kubeconfig("admin"))
	if err != nil || !strings.Contains(string(raw), "server: https://10.0.0.1:6443") {
		t.Fatalf("the kubeconfig must name the server: %s, %v", raw, err)
	}
}
