// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// world is a real API server with the shipped bundles applied as they are. It finds the replicas, which run in this process with the shipped permissions
// alone, as it would in a cluster: through the Service and its endpoints.
type world struct {
	*testing.T
	client.Client
	admin *rest.Config
	// host is the address of this machine: an endpoint may not have that of the loopback.
	host     string
	warnings *warnings
}

// warnings collects what the API server warns of.
type warnings struct {
	sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.Lock()
	defer w.Unlock()
	w.texts = append(w.texts, text)
}

// take returns what was collected since the last time.
func (w *warnings) take() []string {
	w.Lock()
	defer w.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}

// newWorld is one that holds the bundles of the webhooks under the names that they have.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newEmptyWorld(t)
	require.NoError(t, w.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kruise-system"}}))
	w.apply("../bundles/crd")
	w.apply("../bundles/webhooks")
	return w
}

func newEmptyWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS must name a folder with kube-apiserver and etcd: run make envtest")
	}
	env := &envtest.Environment{}
	// The API server calls the endpoints itself: nothing routes the addresses of Services here.
	env.ControlPlane.GetAPIServer().Configure().Append("enable-aggregator-routing", "true")
	admin, err := env.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, env.Stop()) })
	admin.QPS = -1
	w := &world{T: t, admin: admin, host: hostAddress(t), warnings: &warnings{}}
	config := rest.CopyConfig(admin)
	config.WarningHandler = w.warnings
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	w.Client, err = client.New(config, client.Options{Scheme: scheme})
	require.NoError(t, err)
	return w
}

func hostAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, address := range addresses {
		if ip, ok := address.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String()
		}
	}
	t.Fatal("this machine needs an address beside that of the loopback")
	return ""
}

// apply brings a bundle in as Git does.
func (w *world) apply(bundle string) {
	w.Helper()
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), bundle)
	require.NoError(w, err)
	for _, r := range m.Resources() {
		content, err := r.Map()
		require.NoError(w, err)
		object := &unstructured.Unstructured{Object: content}
		w.eventually("the API server knows the kind", func() error {
			return w.Apply(w.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("git"))
		})
	}
}

func (w *world) eventually(what string, check func() error) {
	w.Helper()
	var err error
	for end := time.Now().Add(45 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	require.NoError(w, err, what)
}

// kubeconfig lets a program act as the shipped ServiceAccount, and as nobody else.
func (w *world) kubeconfig() string {
	w.Helper()
	return w.kubeconfigOf("kruise-system", "kruise-webhook")
}

func (w *world) kubeconfigOf(namespace, account string) string {
	w.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["here"] = &clientcmdapi.Cluster{Server: w.admin.Host, CertificateAuthorityData: w.admin.CAData}
	c.AuthInfos["webhook"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: w.admin.CertData, ClientKeyData: w.admin.KeyData,
		Impersonate:       "system:serviceaccount:" + namespace + ":" + account,
		ImpersonateGroups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	c.Contexts["here"] = &clientcmdapi.Context{Cluster: "here", AuthInfo: "webhook"}
	c.CurrentContext = "here"
	path := filepath.Join(w.TempDir(), "kubeconfig")
	require.NoError(w, clientcmd.WriteToFile(*c, path))
	return path
}

// withToken is a client with a token of a ServiceAccount, and with nothing else.
func (w *world) withToken(namespace, account string) client.Client {
	w.Helper()
	config := rest.AnonymousClientConfig(w.admin)
	config.BearerToken = w.token(namespace, account)
	c, err := client.New(config, client.Options{Scheme: w.Scheme()})
	require.NoError(w, err)
	return c
}

func (w *world) token(namespace, account string) string {
	w.Helper()
	request := &authenticationv1.TokenRequest{}
	require.NoError(w, w.SubResource("token").Create(w.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account, Namespace: namespace}}, request))
	return request.Status.Token
}

// replica is one running copy of the program.
type replica struct {
	port, health int
	stop         func()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts a replica, with more flags than it needs anyway.
func (w *world) start(name string, flags ...string) *replica {
	w.Helper()
	r := &replica{port: freePort(w.T), health: freePort(w.T)}
	f, err := parse(append([]string{
		"--metrics-addr=0", "--port=" + strconv.Itoa(r.port), "--health-probe-addr=127.0.0.1:" + strconv.Itoa(r.health),
	}, flags...), os.Stderr)
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, f) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(w, <-done)
	})
	w.Cleanup(r.stop)
	w.eventually("replica "+name+" is ready", r.ready)
	return r
}

// run starts a replica and makes it an endpoint of the Service.
func (w *world) run(name string) *replica {
	w.Helper()
	r := w.start(name)
	require.NoError(w, w.Create(w.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "kruise-system", Labels: map[string]string{discoveryv1.LabelServiceName: "kruise-webhook-service"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{w.host}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("webhook"), Port: ptr.To(int32(r.port))}},
	}))
	return r
}

func (r *replica) ready() error {
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", r.health))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}

// certificate is the fingerprint of what the replica serves with.
func (r *replica) certificate() (string, error) {
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return fmt.Sprintf("%x", sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw)), nil
}

// cloneSet reads one from YAML, after replacing texts in pairs.
func (w *world) cloneSet(name, version string, replacements ...string) *unstructured.Unstructured {
	w.Helper()
	text := strings.NewReplacer(replacements...).Replace(`
metadata: {name: ` + name + `, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "web:1", command: [serve]}
  updateStrategy: {}
`)
	object := &unstructured.Unstructured{}
	unmarshal(w.T, text, &object.Object)
	object.SetAPIVersion("apps.kruise.io/" + version)
	object.SetKind("CloneSet")
	return object
}
