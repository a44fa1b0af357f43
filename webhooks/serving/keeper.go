// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Keeper keeps certificate and trust of one replica. Make one with NewKeeper and run it.
type Keeper struct {
	secrets   kubernetes.Interface
	dynamic   dynamic.Interface
	namespace string
	name      string
	dnsName   string
	targets   []Target

	queue   workqueue.TypedRateLimitingInterface[struct{}]
	serving atomic.Pointer[served]
}

// served is the certificate that is served with.
type served struct {
	pair *tls.Certificate
	// cert and ca are what the Secret held: the certificate, and the authority that signed it.
	cert, ca []byte
}

// Options are the settings of a Keeper.
type Options struct {
	// Namespace and Secret name the Secret that replicas share.
	Namespace, Secret string
	// DNSName is the name that the API server calls.
	DNSName string
	// Targets are told which authority to trust.
	Targets []Target
}

// NewKeeper makes a Keeper.
func NewKeeper(config *rest.Config, o Options) (*Keeper, error) {
	secrets, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing certificates: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing certificates: %w", err)
	}
	return &Keeper{
		secrets: secrets, dynamic: dynamicClient, namespace: o.Namespace, name: o.Secret, dnsName: o.DNSName, targets: o.Targets,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[struct{}](100*time.Millisecond, 30*time.Second)),
	}, nil
}

// NeedLeaderElection is false: every replica serves.
func (k *Keeper) NeedLeaderElection() bool { return false }

// checkEvery is how often certificates are looked at without an event: time alone makes them old.
const checkEvery = 10 * time.Minute

// Start watches the Secret and the targets, and keeps them right until the context ends.
func (k *Keeper) Start(ctx context.Context) error {
	watched := append([]Target{{Resource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Name: k.name}}, k.targets...)
	for _, t := range watched {
		if err := k.watch(ctx, t); err != nil {
			return err
		}
	}
	context.AfterFunc(ctx, k.queue.ShutDown)
	k.queue.Add(struct{}{})
	for {
		item, shutdown := k.queue.Get()
		if shutdown {
			return nil
		}
		switch err := k.keep(ctx); {
		case err == nil || ctx.Err() != nil:
			k.queue.Forget(item)
		case apierrors.IsConflict(err):
			// Another replica was faster: its work is read.
			k.queue.AddRateLimited(item)
		default:
			log.FromContext(ctx).Error(err, "Keeping the certificate")
			k.queue.AddRateLimited(item)
		}
		k.queue.Done(item)
	}
}

func (k *Keeper) watch(ctx context.Context, t Target) error {
	namespace := metav1.NamespaceAll
	if t.Resource.Resource == "secrets" {
		namespace = k.namespace
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(k.dynamic, t.Resource, namespace, checkEvery, cache.Indexers{}, t.options).Informer()
	add := func() { k.queue.Add(struct{}{}) }
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { add() }, UpdateFunc: func(any, any) { add() }, DeleteFunc: func(any) { add() },
	})
	if err != nil {
		return fmt.Errorf("watching %s %s: %w", t.Resource.Resource, t.Name, err)
	}
	go informer.Run(ctx.Done())
	return nil
}

// settleIn is how long the API server gets to take in a new caBundle before the certificate changes.
const settleIn = 3 * time.Second

// keep does one round: a good Secret, then trust, then the certificate.
func (k *Keeper) keep(ctx context.Context) error {
	c, err := k.goodSecret(ctx)
	if err != nil {
		return err
	}
	now := k.serving.Load()
	wanted := trust{signing: c[caCertKey], now: time.Now(), host: k.dnsName}
	if now != nil {
		wanted.serving = now.ca
	}
	var failures []error
	for _, t := range k.targets {
		failures = append(failures, t.publish(ctx, k.dynamic, wanted))
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if now != nil && bytes.Equal(now.cert, c[serverCertKey]) {
		return nil
	}
	pair, err := c.pair()
	if err != nil {
		return fmt.Errorf("reading Secret %s/%s: %w", k.namespace, k.name, err)
	}
	if now != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settleIn):
		}
	}
	k.serving.Store(&served{pair: pair, cert: c[serverCertKey], ca: c[caCertKey]})
	log.FromContext(ctx).Info("Serving with a new certificate", "expires", pair.Leaf.NotAfter)
	return nil
}

// goodSecret reads the Secret, and renews it where it is empty, unreadable or about to expire. Another replica may be faster: then its work is read.
func (k *Keeper) goodSecret(ctx context.Context) (certificates, error) {
	secret, err := k.secrets.CoreV1().Secrets(k.namespace).Get(ctx, k.name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s, which the installation brings: %w", k.namespace, k.name, err)
	}
	problem := certificates(secret.Data).check(k.dnsName, time.Now())
	if problem == nil {
		return secret.Data, nil
	}
	if len(secret.Data) > 0 {
		log.FromContext(ctx).Error(problem, "Renewing the Secret, whose content cannot be used", "secret", k.namespace+"/"+k.name)
	}
	renewed, err := certificates(secret.Data).renew(k.dnsName, time.Now())
	if err != nil {
		return nil, err
	}
	updated := secret.DeepCopy()
	updated.Data = renewed
	written, err := k.secrets.CoreV1().Secrets(k.namespace).Update(ctx, updated, metav1.UpdateOptions{FieldManager: FieldManager})
	if err != nil {
		return nil, fmt.Errorf("renewing Secret %s/%s: %w", k.namespace, k.name, err)
	}
	return written.Data, nil
}

// GetCertificate serves TLS with the newest certificate.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s := k.serving.Load(); s != nil {
		return s.pair, nil
	}
	return nil, errors.New("the certificate is not there yet")
}

// Ready is a health check: the certificate is there, and the API server was told to trust it.
func (k *Keeper) Ready(*http.Request) error {
	_, err := k.GetCertificate(nil)
	return err
}
