// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
)

// Keys of the Secret. COMPAT: published, so that a Secret that exists is taken over.
const (
	caCertKey     = "ca-cert.pem"
	caKeyKey      = "ca-key.pem"
	serverCertKey = "tls.crt"
	serverKeyKey  = "tls.key"
)

const (
	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is renewed.
	renewBefore = 90 * 24 * time.Hour
	caName      = "webhook-cert-ca"
)

// certificates are the contents of the Secret.
type certificates map[string][]byte

// check says what is wrong with the certificates, or nil. It speaks of the key of the Secret.
func (c certificates) check(dnsName string, now time.Time) error {
	if err := c.checkCA(now); err != nil {
		return err
	}
	if err := c.has(serverCertKey, serverKeyKey); err != nil {
		return err
	}
	usage := &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if ok, err := rotator.ValidCert(c[caCertKey], c[serverCertKey], c[serverKeyKey], dnsName, usage, now.Add(renewBefore)); !ok {
		return fmt.Errorf("key %s: %w", serverCertKey, err)
	}
	return nil
}

// has says which of some keys is missing or empty.
func (c certificates) has(keys ...string) error {
	for _, key := range keys {
		if len(c[key]) == 0 {
			return fmt.Errorf("key %s: it is missing or empty", key)
		}
	}
	return nil
}

func (c certificates) checkCA(now time.Time) error {
	if err := c.has(caCertKey, caKeyKey); err != nil {
		return err
	}
	if ok, err := rotator.ValidCert(c[caCertKey], c[caCertKey], c[caKeyKey], "", nil, now.Add(renewBefore)); !ok {
		return fmt.Errorf("key %s: %w", caCertKey, err)
	}
	return nil
}

// renew makes what is missing or about to expire; an authority that is still good is kept.
func (c certificates) renew(dnsName string, now time.Time) (certificates, error) {
	maker := &rotator.CertRotator{
		CAName: caName, CAOrganization: "keelson", DNSName: dnsName, ExtraDNSNames: []string{"localhost"},
		ExtKeyUsages: &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	begin := now.Add(-time.Hour)
	renewed := maps.Clone(c)
	if renewed == nil {
		renewed = certificates{}
	}
	ca, err := c.authority(now)
	if err != nil {
		if ca, err = maker.CreateCACert(begin, now.Add(caLifetime)); err != nil {
			return nil, fmt.Errorf("making an authority: %w", err)
		}
		renewed[caCertKey], renewed[caKeyKey] = ca.CertPEM, ca.KeyPEM
	}
	cert, key, err := maker.CreateCertPEM(ca, begin, now.Add(serverLifetime))
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	renewed[serverCertKey], renewed[serverKeyKey] = cert, key
	return renewed, nil
}

// authority reads the authority, if it is good for long enough.
func (c certificates) authority(now time.Time) (*rotator.KeyPairArtifacts, error) {
	if err := c.checkCA(now); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(c[caCertKey])
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", caCertKey, err)
	}
	block, _ = pem.Decode(c[caKeyKey])
	if block == nil {
		return nil, fmt.Errorf("key %s: it holds no key", caKeyKey)
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", caKeyKey, err)
	}
	return &rotator.KeyPairArtifacts{Cert: cert, Key: key, CertPEM: c[caCertKey], KeyPEM: c[caKeyKey]}, nil
}

// pair is the certificate to serve with.
func (c certificates) pair() (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(c[serverCertKey], c[serverKeyKey])
	if err != nil {
		return nil, fmt.Errorf("keys %s and %s: %w", serverCertKey, serverKeyKey, err)
	}
	return &pair, nil
}

// bundle joins the authorities of several sources: each once, in their order, and without those that have expired. Whoever still serves with a
// certificate of one of them is trusted.
func bundle(now time.Time, sources ...[]byte) []byte {
	var out []byte
	for _, source := range sources {
		for block, rest := pem.Decode(source); block != nil; block, rest = pem.Decode(rest) {
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil || !cert.IsCA || now.After(cert.NotAfter) || bytes.Contains(out, text) {
				continue
			}
			out = append(out, text...)
		}
	}
	return out
}
