// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/nodeagent/cri"
	"github.com/keelson/keelson/nodeagent/stop"
)

// settleIn is how long a Pod's events are gathered before the runtime is asked: containers start in bursts.
const settleIn = time.Second

// workers is how many Pods are looked at at once.
const workers = 5

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=nodes,verbs=impersonate:associated-node
// +kubebuilder:rbac:groups="",resources=pods,verbs=impersonate-on:associated-node:list;impersonate-on:associated-node:watch
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch

// Worker reports for the Pods of one node. Make one with New.
type Worker struct {
	clients  Clients
	runtime  cri.Runtime
	version  cri.Version
	informer cache.SharedIndexInformer
	pods     corev1listers.PodLister
	queue    workqueue.TypedRateLimitingInterface[cache.ObjectName]
	// restarter is nil when environments are nobody's business.
	restarter *restarter
	synced    atomic.Bool
	// unread is why the Pods cannot be read, as heard last; nil until then.
	unread atomic.Pointer[error]
}

// Clients are those of the agent. Read needs to see the Pods of the node alone.
type Clients struct{ Read, Write kubernetes.Interface }

// Options are the settings of a Worker.
type Options struct {
	// Node is the name of the node.
	Node string
	// FollowsMetadata lets it report which environment containers took from labels and annotations, and restart those whose environment is out of
	// date while an update in place changes it.
	FollowsMetadata bool
}

// New makes a Worker. It watches only the Pods of its node.
func New(clients Clients, runtime cri.Runtime, version cri.Version, o Options) (*Worker, error) {
	mine := informers.WithTweakListOptions(func(list *metav1.ListOptions) {
		list.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", o.Node).String()
	})
	pods := informers.NewSharedInformerFactoryWithOptions(clients.Read, 0, mine, informers.WithTransform(keepFacts)).Core().V1().Pods()
	w := &Worker{
		clients: clients, runtime: runtime, version: version, informer: pods.Informer(), pods: pods.Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](time.Second, time.Minute)),
	}
	if o.FollowsMetadata {
		w.restarter = newRestarter(w)
	}
	err := w.informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		w.unread.Store(&err)
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
	if err != nil {
		return nil, fmt.Errorf("watching Pods: %w", err)
	}
	_, err = w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: w.enqueue,
		UpdateFunc: func(old, now any) {
			if before, isPod := old.(*corev1.Pod); isPod && !isSame(before, now.(*corev1.Pod)) {
				w.enqueue(now)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watching Pods: %w", err)
	}
	return w, nil
}

// enqueue notes a Pod: after a restart of this program that is every Pod of the node, so what was missed is made good.
func (w *Worker) enqueue(object any) {
	if pod, isPod := object.(*corev1.Pod); isPod && wantsReport(pod) {
		w.queue.AddAfter(cache.MetaObjectToName(pod), settleIn)
	}
}

// Run reports until the context ends.
func (w *Worker) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	defer w.queue.ShutDown()
	group.Go(func() { w.informer.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), w.informer.HasSynced) {
		return nil
	}
	w.synced.Store(true)
	for range workers {
		group.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	if w.restarter != nil {
		group.Go(func() { w.restarter.run(ctx) })
	}
	<-ctx.Done()
	return nil
}

// Ready says that the Pods of the node are known.
func (w *Worker) Ready() error {
	switch why := w.unread.Load(); {
	case w.synced.Load():
		return nil
	case why == nil:
		return errors.New("podInformerSynced: the Pods of this node are not known yet")
	case apierrors.IsForbidden(*why):
		return fmt.Errorf("podInformerSynced: the Pods of this node may not be read; before Kubernetes 1.36 that takes the component nodeagent/read-all-pods: %w", *why)
	default:
		return fmt.Errorf("podInformerSynced: the Pods of this node cannot be read: %w", *why)
	}
}

func (w *Worker) next(ctx context.Context) bool {
	key, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(key)
	if err := w.report(ctx, key); err != nil && ctx.Err() == nil {
		// A conflict is nobody's fault: many write to a Pod that starts.
		if !apierrors.IsConflict(err) {
			klog.FromContext(ctx).Error(err, "Reporting containers", "pod", key.String())
		}
		w.queue.AddRateLimited(key)
		return true
	}
	w.queue.Forget(key)
	return true
}

func (w *Worker) report(ctx context.Context, key cache.ObjectName) error {
	pod, err := w.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the Pod: %w", err)
	}
	if !wantsReport(pod) {
		return nil
	}
	report, err := w.plan(ctx, pod)
	if err != nil {
		return err
	}
	for _, outdated := range report.Outdated {
		w.restarter.enqueue(key, pod.UID, outdated)
	}
	if !report.Write {
		return nil
	}
	if err := w.write(ctx, pod, report.Value); err != nil {
		return err
	}
	// Said with a report, so that it is said once for each start of a container.
	if w.restarter != nil && isTooLarge(pod) {
		klog.FromContext(ctx).Info("The containers of a Pod are not restarted for their environment, as the Pod is too large", "pod", key.String(), "bytes", maxFacts)
	}
	// Said after it is healed, so that it is said once.
	if report.Broken != "" {
		klog.FromContext(ctx).Info("Replaced a report that could not be read", "pod", key.String(), "why", report.Broken)
	}
	klog.FromContext(ctx).V(1).Info("Reported containers", "pod", key.String(), "report", report.Value)
	return nil
}

// plan asks the runtime about a Pod and compares.
func (w *Worker) plan(ctx context.Context, pod *corev1.Pod) (Report, error) {
	running, err := w.runtime.Containers(ctx, string(pod.UID))
	if err != nil {
		return Report{}, err
	}
	environments, err := w.environments(ctx, pod, running)
	if err != nil {
		return Report{}, err
	}
	return Plan(pod, w.version.Name, running, environments)
}

// environments asks for those of the current containers that follow metadata.
func (w *Worker) environments(ctx context.Context, pod *corev1.Pod, running []cri.Container) (Environments, error) {
	if w.restarter == nil {
		return nil, nil
	}
	found := Environments{}
	for _, spec := range inplace.LongRunning(&pod.Spec) {
		c := current(running, spec.Name)
		if c == nil || !inplace.FollowsMetadata(spec) {
			continue
		}
		environment, err := w.runtime.Environment(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		found[c.ID] = environment
	}
	return found, nil
}

// write patches the annotation, unless the Pod is gone.
func (w *Worker) write(ctx context.Context, pod *corev1.Pod, value string) error {
	if err := w.patch(ctx, pod, value); !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// patch writes one annotation. The UID makes the API server refuse it when another Pod has taken the name. Where a container has a hook that a stop may note in
// the annotation, the version makes it refuse what was computed before that note was seen.
func (w *Worker) patch(ctx context.Context, pod *corev1.Pod, value string) error {
	metadata := map[string]any{"uid": pod.UID, "annotations": map[string]string{pub.RuntimeContainerMetaKey: value}}
	if slices.ContainsFunc(inplace.LongRunning(&pod.Spec), func(c *corev1.Container) bool { return inplace.FollowsMetadata(c) && stop.HasHook(c) }) {
		metadata["resourceVersion"] = pod.ResourceVersion
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	_, err = w.clients.Write.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
