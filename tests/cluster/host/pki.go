// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pki issues the certificates of one cluster from one authority. It lives in a folder, NAME.crt and NAME.key for each.
type pki struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// subject is who a certificate is for: a user with groups, or a server with addresses.
type subject struct {
	user      string
	groups    []string
	addresses []string
}

func newPKI(dir string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	template := certificate(subject{user: "keelson-cluster-ca"})
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	p := &pki{dir: dir, cert: cert, key: key}
	return p, p.write("ca", raw, key)
}

func certificate(s subject) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 62))
	if err != nil {
		serial = big.NewInt(time.Now().UnixNano())
	}
	c := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.user, Organization: s.groups},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, a := range s.addresses {
		if ip := net.ParseIP(a); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, a)
		}
	}
	return c
}

// issue writes a certificate and its key.
func (p *pki) issue(name string, s subject) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making certificate %s: %w", name, err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, certificate(s), p.cert, key.Public(), p.key)
	if err != nil {
		return fmt.Errorf("making certificate %s: %w", name, err)
	}
	return p.write(name, raw, key)
}

// issueKubeconfig issues a client certificate and writes a kubeconfig that holds it.
func (p *pki) issueKubeconfig(name, server string, s subject) error {
	if err := p.issue(name, s); err != nil {
		return err
	}
	var content [3]string
	for i, file := range []string{p.crt("ca"), p.crt(name), p.keyFile(name)} {
		raw, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("writing kubeconfig %s: %w", name, err)
		}
		content[i] = base64.StdEncoding.EncodeToString(raw)
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: keelson
contexts:
- name: keelson
  context: {cluster: keelson, user: keelson}
clusters:
- name: keelson
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: keelson
  user:
    client-certificate-data: %s
    client-key-data: %s
`, server, content[0], content[1], content[2])
	return os.WriteFile(p.kubeconfig(name), []byte(text), 0o600)
}

func (p *pki) crt(name string) string        { return filepath.Join(p.dir, name+".crt") }
func (p *pki) keyFile(name string) string    { return filepath.Join(p.dir, name+".key") }
func (p *pki) kubeconfig(name string) string { return filepath.Join(p.dir, name+".kubeconfig") }

func (p *pki) write(name string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("writing certificate %s: %w", name, err)
	}
	if err := os.WriteFile(p.crt(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644); err != nil {
		return fmt.Errorf("writing certificate %s: %w", name, err)
	}
	return os.WriteFile(p.keyFile(name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
