// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/nodeagent/stop"
)

// kubeletLag is how long a container is left to run after its metadata was seen to change. The kubelet learns of that by a watch of its own: if it were later than
// this agent, it would start the container with the old environment once more, and then make it wait as one that crashes.
const kubeletLag = time.Second

// restarter stops containers that are out of date. Each stop lasts as long as the Pod's grace period lets it; none of them keeps reports waiting, and none of
// one namespace those of another.
type restarter struct {
	worker *Worker
	queue  workqueue.TypedRateLimitingInterface[restart]
	slots  slots
}

// restart is one container that is to be stopped.
type restart struct {
	pod       cache.ObjectName
	uid       types.UID
	container Outdated
}

func newRestarter(w *Worker) *restarter {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[restart](3*time.Second, time.Minute)
	return &restarter{worker: w, queue: workqueue.NewTypedRateLimitingQueue(limiter)}
}

func (r *restarter) enqueue(pod cache.ObjectName, uid types.UID, container Outdated) {
	r.queue.AddAfter(restart{pod: pod, uid: uid, container: container}, kubeletLag)
}

func (r *restarter) run(ctx context.Context) {
	defer context.AfterFunc(ctx, r.queue.ShutDown)()
	var group sync.WaitGroup
	defer group.Wait()
	for {
		// A task is not done before its stop has ended, so that no container is stopped twice at once.
		task, shutdown := r.queue.Get()
		if shutdown {
			return
		}
		r.begin(ctx, &group, r.slots.take(task))
	}
}

func (r *restarter) begin(ctx context.Context, group *sync.WaitGroup, tasks []restart) {
	for _, task := range tasks {
		group.Go(func() {
			r.perform(ctx, task)
			r.begin(ctx, group, r.slots.free(task))
		})
	}
}

func (r *restarter) perform(ctx context.Context, task restart) {
	defer r.queue.Done(task)
	if ctx.Err() != nil {
		return
	}
	err := r.restart(ctx, task)
	if err == nil || ctx.Err() != nil {
		r.queue.Forget(task)
		return
	}
	if !apierrors.IsConflict(err) {
		klog.FromContext(ctx).Error(err, "Stopping a container whose environment is out of date", "pod", task.pod.String(), "container", task.container.Name)
	}
	r.queue.AddRateLimited(task)
}

// restart stops a container, if that is still due: by now the wish may have been withdrawn, or the kubelet may have restarted it for another reason.
func (r *restarter) restart(ctx context.Context, task restart) error {
	pod, err := r.worker.pods.Pods(task.pod.Namespace).Get(task.pod.Name)
	if err != nil || pod.UID != task.uid || !wantsReport(pod) {
		return nil
	}
	report, err := r.worker.plan(ctx, pod)
	if err != nil {
		return err
	}
	if !slices.Contains(report.Outdated, task.container) {
		return nil
	}
	specs := inplace.LongRunning(&pod.Spec)
	i := slices.IndexFunc(specs, func(c *corev1.Container) bool { return c.Name == task.container.Name })
	if i < 0 {
		return nil
	}
	return r.stop(ctx, pod, specs[i], report, task)
}

// stop ends a container. Its hook is started at most once: before it is started, the Pod says so, and no agent starts the hook of a container again of which the
// Pod does.
//
//	report ─► note on the Pod ─► hook ─► signal
//	            └ refused when the Pod has changed since it was read, so that nobody who has not seen the note gets past it
func (r *restarter) stop(ctx context.Context, pod *corev1.Pod, spec *corev1.Container, report Report, task restart) error {
	target := stop.Target{Pod: pod, Spec: spec, ID: task.container.ID, HookWasStarted: report.hookWasStarted(task.container)}
	if stop.HasHook(spec) && !target.HookWasStarted {
		value, err := report.withHookStarted(task.container)
		if err != nil {
			return err
		}
		err = r.worker.patch(ctx, pod, value)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	logger := klog.FromContext(ctx).WithValues("pod", task.pod.String(), "container", spec.Name)
	logger.V(1).Info("Stopping a container whose environment is out of date", "id", task.container.ID)
	hook, err := stop.Container(ctx, r.worker.runtime, target)
	if hook != nil {
		logger.Info("The preStop hook failed", "why", hook.Error())
	}
	if err != nil {
		return fmt.Errorf("stopping container %s: %w", spec.Name, err)
	}
	return nil
}
