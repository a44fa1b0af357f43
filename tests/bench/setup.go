// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// nodes is how many simulated nodes the cluster has.
const nodes = "10"

// bench is one run.
type bench struct {
	options
	core      kubernetes.Interface
	witness   *witness
	log       *auditLog
	subjects  []subject
	processes map[string]int
	// stranger is an owner of Pods that no controller here knows.
	stranger metav1.OwnerReference
	results  results
	round    int
	progress io.Writer
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

func (b *bench) process(s subject) process { return process(b.processes[s.program()]) }

func (b *bench) subject(name string) subject {
	for _, s := range b.subjects {
		if s.name() == name {
			return s
		}
	}
	return nil
}

// newBench makes a new cluster, installs Keelson from its bundles, and prepares who is compared.
func newBench(ctx context.Context, o options, progress io.Writer) (*bench, error) {
	b := &bench{options: o, progress: progress, results: results{Machine: machine()}}
	b.say("a control plane with %s simulated nodes", nodes)
	if _, err := clusterProgram(ctx, "down"); err != nil {
		return nil, err
	}
	out, err := clusterProgram(ctx, "up", "--nodes="+nodes)
	if err != nil {
		return nil, err
	}
	var up struct{ Kubeconfig, AuditLog string }
	if err := json.Unmarshal(bytes.TrimSpace(out), &up); err != nil {
		return nil, fmt.Errorf("reading what the cluster program said: %w", err)
	}
	var env []string
	if o.profiles != "" {
		env = append(env, "CONTROLLERS_FLAGS=--enable-pprof --pprof-addr="+profilesAddress)
	}
	b.say("Keelson from overlays/default")
	if _, err := command(ctx, env, ".ci/deploy", "default"); err != nil {
		return nil, err
	}
	if err := b.readProcesses(ctx); err != nil {
		return nil, err
	}
	if b.log, err = openAuditLog(up.AuditLog); err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", up.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	return b, b.prepare(ctx, unlimited(config))
}

// unlimited lets only the API server limit the requests. Objects that Kubernetes knows travel in its binary encoding, as between its own programs.
func unlimited(config *rest.Config) *rest.Config {
	c := rest.CopyConfig(config)
	c.QPS = -1
	c.UserAgent = "keelson-bench"
	return c
}

func binary(config *rest.Config) *rest.Config {
	c := rest.CopyConfig(config)
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	return c
}

func (b *bench) prepare(ctx context.Context, config *rest.Config) error {
	var err error
	if b.core, err = kubernetes.NewForConfig(binary(config)); err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	token, err := b.account(ctx)
	if err != nil {
		return err
	}
	account, err := b.core.CoreV1().ServiceAccounts(namespace).Get(ctx, "raw", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("finding the user of the bare client: %w", err)
	}
	b.stranger = metav1.OwnerReference{APIVersion: "v1", Kind: "ServiceAccount", Name: account.Name, UID: account.UID, Controller: new(true)}
	// The bare client is limited by the API server in the same way as the others, which an administrator is not.
	bare := rest.AnonymousClientConfig(binary(config))
	bare.BearerToken = token
	writer, err := kubernetes.NewForConfig(bare)
	if err != nil {
		return fmt.Errorf("preparing the bare client: %w", err)
	}
	if b.witness, err = newWitness(ctx, b.core); err != nil {
		return err
	}
	b.subjects = []subject{&raw{client: writer, witness: b.witness, owner: b.stranger}, deployments(objects), ours(objects)}
	return nil
}

// account makes the namespace, and the user of the bare client.
func (b *bench) account(ctx context.Context) (string, error) {
	meta := metav1.ObjectMeta{Name: "raw", Namespace: namespace}
	if _, err := b.core.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("making the namespace: %w", err)
	}
	if _, err := b.core.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("making the user of the bare client: %w", err)
	}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods", "pods/status"}, Verbs: []string{"create", "patch", "delete"}}}}
	if _, err := b.core.RbacV1().Roles(namespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("making the role of the bare client: %w", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: meta.Name, Namespace: namespace}},
	}
	if _, err := b.core.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("binding the role of the bare client: %w", err)
	}
	answer, err := b.core.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, meta.Name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(24 * 3600))},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("making the token of the bare client: %w", err)
	}
	return answer.Status.Token, b.awaitDefaultAccount(ctx)
}

// awaitDefaultAccount waits for the account that Pods without another run under.
func (b *bench) awaitDefaultAccount(ctx context.Context) error {
	for {
		_, err := b.core.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the default account: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
