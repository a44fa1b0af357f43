// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/cloneset"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/loop/register"
)

// world is a real API server. Nodes are played: see kubelet.
type world struct {
	client.Client
	// restricted may do what the shipped ClusterRole says, and nothing else; the controllers run with it.
	restricted *rest.Config
	// admin may do everything.
	admin *rest.Config
	// complaints are the errors that the controllers have logged.
	complaints complaints
}

// complaints are a log that keeps the errors.
type complaints struct {
	mutex sync.Mutex
	all   []string
}

func (c *complaints) logger() logr.Logger {
	return funcr.New(func(_, line string) {
		if strings.Contains(line, `"error"=`) {
			c.mutex.Lock()
			defer c.mutex.Unlock()
			c.all = append(c.all, line)
		}
	}, funcr.Options{})
}

// about are the complaints in which a text is.
func (c *complaints) about(text string) []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.DeleteFunc(slices.Clone(c.all), func(line string) bool { return !strings.Contains(line, text) })
}

func startWorld(t *testing.T) *world {
	t.Helper()
	require.NotEmpty(t, os.Getenv("KUBEBUILDER_ASSETS"), "it must name a folder with kube-apiserver and etcd: run make envtest")
	w := &world{}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	read(t, "../../bundles/crd/apps.kruise.io_clonesets.yaml", crd)
	crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	env := &envtest.Environment{CRDs: []*apiextensionsv1.CustomResourceDefinition{crd}}
	admin, err := env.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, env.Stop()) })
	admin.QPS = -1
	w.admin = admin
	w.Client, err = client.New(admin, client.Options{Scheme: makeScheme(t)})
	require.NoError(t, err)

	user, err := env.AddUser(envtest.User{Name: "controllers"}, nil)
	require.NoError(t, err)
	w.restricted = user.Config()
	w.restricted.QPS = -1
	role := shippedRole(t)
	require.NoError(t, w.Create(t.Context(), role))
	require.NoError(t, w.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "controllers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "controllers"}},
	}))
	return w
}

// makeScheme makes one for each program: a manager adds to its own while it starts.
func makeScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	require.NoError(t, kruisev1beta1.AddToScheme(scheme))
	return scheme
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}

// shippedRole is the ClusterRole in the bundle.
func shippedRole(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	file, err := os.Open("../../bundles/rbac/controllers.yaml")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		role := &rbacv1.ClusterRole{}
		require.NoError(t, decoder.Decode(role), "the bundle has no ClusterRole")
		if role.Kind == "ClusterRole" {
			return role
		}
	}
}

// startControllers runs the controllers until the returned function is called. When it returns they know what was written before.
func (w *world) startControllers(t *testing.T) (stop func()) {
	t.Helper()
	r := w.startReplica(t, ctrl.Options{Cache: cache.Options{DefaultTransform: late}})
	<-r.room.TakenOver()
	return r.stop
}

// replica is one of several programs.
type replica struct {
	room *register.Room
	// stop ends it; once is enough.
	stop func()
}

// startReplica runs the controllers, or lets them stand by.
func (w *world) startReplica(t *testing.T, options ctrl.Options) replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	options.Scheme, options.Logger = makeScheme(t), w.complaints.logger()
	options.Metrics = metricsserver.Options{BindAddress: "0"}
	options.Controller = config.Controller{SkipNameValidation: new(true)}
	mgr, err := ctrl.NewManager(w.restricted, options)
	require.NoError(t, err)
	room, err := register.NewRoom(ctx, mgr)
	require.NoError(t, err)
	require.NoError(t, cloneset.Register(ctx, room, cloneset.Options{Workers: 3}))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return replica{room: room, stop: stop}
}

// lagging is the label of Pods whose events reach the cache late.
const lagging = "test.keelson.io/lagging"

// late leaves out what the program leaves out, and holds up the events of some Pods.
func late(object any) (any, error) {
	if pod, isPod := object.(*corev1.Pod); isPod && pod.Labels[lagging] != "" {
		time.Sleep(30 * time.Millisecond)
	}
	return observe.Transform(object)
}

// namespace makes a new namespace.
func (w *world) namespace(t *testing.T) string {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	require.NoError(t, w.Create(t.Context(), n))
	return n.Name
}

// eventually waits until a condition holds; what it returns last explains a failure.
func eventually(t *testing.T, sentence string, holds func(ctx context.Context) (bool, string)) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (ok bool, _ error) {
		ok, last = holds(ctx)
		return ok, nil
	})
	require.NoError(t, err, "%s: %s", sentence, last)
}

// pods lists the Pods of a namespace that a set controls and that are not about to go.
func (w *world) pods(ctx context.Context, set *kruisev1beta1.CloneSet) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := w.List(ctx, &list, client.InNamespace(set.Namespace)); err != nil {
		return nil, err
	}
	var mine []corev1.Pod
	for _, pod := range list.Items {
		if metav1.IsControlledBy(&pod, set) && pod.DeletionTimestamp == nil {
			mine = append(mine, pod)
		}
	}
	return mine, nil
}

// playKubelet runs all Pods of a namespace until the test ends: it binds, starts, restarts and ends them. As a kubelet does, it makes a Pod ready
// when its readiness gates are.
func (w *world) playKubelet(t *testing.T, namespace string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wait.UntilWithContext(ctx, func(ctx context.Context) {
			var list corev1.PodList
			if w.List(ctx, &list, client.InNamespace(namespace)) != nil {
				return
			}
			for i := range list.Items {
				if err := w.runPod(ctx, &list.Items[i]); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) && ctx.Err() == nil {
					t.Errorf("playing the kubelet: %v", err)
				}
			}
		}, 50*time.Millisecond)
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

func (w *world) runPod(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil {
		return w.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	}
	if pod.Spec.NodeName == "" {
		return w.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-1"}})
	}
	before := pod.DeepCopy()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = nil
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: "sha256:" + c.Image, Ready: true,
		})
	}
	setReady(pod)
	patch := client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})
	if data, err := patch.Data(pod); err != nil || !hasStatus(data) {
		return err
	}
	return w.Status().Patch(ctx, pod, patch)
}

// hasStatus says that a patch holds more than the optimistic lock.
func hasStatus(patch []byte) bool {
	var body struct{ Status map[string]any }
	return yaml.Unmarshal(patch, &body) == nil && len(body.Status) > 0
}

func setReady(pod *corev1.Pod) {
	ready := corev1.ConditionTrue
	for _, gate := range pod.Spec.ReadinessGates {
		if conditionOf(pod, gate.ConditionType) != corev1.ConditionTrue {
			ready = corev1.ConditionFalse
		}
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			if c.Status != ready {
				c.Status, c.LastTransitionTime = ready, metav1.Now()
			}
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()})
}

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return ""
}

// makeSet is a CloneSet that updates in place.
func makeSet(namespace string, replicas int32) *kruisev1beta1.CloneSet {
	labels := map[string]string{"app": "web"}
	return &kruisev1beta1.CloneSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec: kruisev1beta1.CloneSetSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "demo:1"}}},
			},
			UpdateStrategy: kruisev1beta1.CloneSetUpdateStrategy{
				Type: kruisev1beta1.RollingUpdateCloneSetUpdateStrategyType,
				RollingUpdate: &kruisev1beta1.RollingUpdateCloneSetStrategy{
					PodUpdatePolicy: kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType,
				},
			},
		},
	}
}

// bringUp creates a set whose Pods are run, and waits until it is at rest.
func (w *world) bringUp(t *testing.T, set *kruisev1beta1.CloneSet) {
	t.Helper()
	w.playKubelet(t, set.Namespace)
	require.NoError(t, w.Create(t.Context(), set))
	eventually(t, "the set is ready", w.isReady(set))
}

// isReady says that the set is at rest with so many Pods.
func (w *world) isReady(set *kruisev1beta1.CloneSet) func(context.Context) (bool, string) {
	return func(ctx context.Context) (bool, string) {
		if err := w.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return false, err.Error()
		}
		for _, c := range set.Status.Conditions {
			if c.Type == kruisev1beta1.CloneSetConditionReady && c.Status == corev1.ConditionTrue {
				return set.Status.ObservedGeneration == set.Generation, fmt.Sprintf("%+v", set.Status)
			}
		}
		return false, fmt.Sprintf("%+v", set.Status)
	}
}

// isInState says that all Pods are in a lifecycle state.
func isInState(pods []corev1.Pod, state pub.LifecycleStateType) bool {
	for _, pod := range pods {
		if pod.Labels[pub.LifecycleStateKey] != string(state) {
			return false
		}
	}
	return true
}
