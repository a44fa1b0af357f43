// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/nodeagent/stop"
)

// restarters is how many containers are stopped at once: each may take its grace period.
const restarters = 10

// kubeletLag is how long a container is left to run after its metadata was seen to change. The kubelet learns of that by a watch of its own: if it were later than
// this agent, it would start the container with the old environment once more, and then make it wait as one that crashes.
const kubeletLag = time.Second

// restarter stops containers that are out of date.
type restarter struct {
	worker *Worker
	queue  workqueue.TypedRateLimitingInterface[restart]
}

// restart is one container that is to be stopped.
type restart struct {
	pod       cache.ObjectName
	uid       types.UID
	container Outdated
}

func newRestarter(w *Worker) *restarter {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[restart](3*time.Second, 10*time.Minute)
	return &restarter{worker: w, queue: workqueue.NewTypedRateLimitingQueue(limiter)}
}

func (r *restarter) enqueue(pod cache.ObjectName, uid types.UID, container Outdated) {
	r.queue.AddAfter(restart{pod: pod, uid: uid, container: container}, kubeletLag)
}

func (r *restarter) run(ctx context.Context) {
	var group sync.WaitGroup
	for range restarters {
		group.Go(func() {
			for r.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	r.queue.ShutDown()
	group.Wait()
}

func (r *restarter) next(ctx context.Context) bool {
	task, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(task)
	if err := r.restart(ctx, task); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Stopping a container whose environment is out of date", "pod", task.pod.String(), "container", task.container.Name)
		r.queue.AddRateLimited(task)
		return true
	}
	r.queue.Forget(task)
	return true
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
	for _, spec := range inplace.LongRunning(&pod.Spec) {
		if spec.Name != task.container.Name {
			continue
		}
		logger := klog.FromContext(ctx).WithValues("pod", task.pod.String(), "container", spec.Name)
		logger.V(1).Info("Stopping a container whose environment is out of date", "id", task.container.ID)
		hook, err := stop.Container(ctx, r.worker.runtime, stop.Target{Pod: pod, Spec: spec, ID: task.container.ID})
		if hook != nil {
			logger.Info("The preStop hook failed", "why", hook.Error())
		}
		if err != nil {
			return fmt.Errorf("stopping container %s: %w", spec.Name, err)
		}
	}
	return nil
}
