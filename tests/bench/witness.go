// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// subjectLabel says on a Pod whose it is.
const subjectLabel = "bench/subject"

// look is what the witness sees of one Pod.
type look struct {
	subject, image string
	isReady        bool
}

// witness watches the Pods as a user does, and counts them by what they look like.
type witness struct {
	mutex  sync.Mutex
	pods   map[types.UID]look
	counts map[look]int
	// restarted is told of each Pod of a subject whose container runs what its spec names, and that is not ready.
	restarted map[string]func(*corev1.Pod)
}

func newWitness(ctx context.Context, client kubernetes.Interface) (*witness, error) {
	w := &witness{pods: map[types.UID]look{}, counts: map[look]int{}, restarted: map[string]func(*corev1.Pod){}}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.see(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { w.see(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, isUnknown := o.(cache.DeletedFinalStateUnknown); isUnknown {
				o = gone.Obj
			}
			w.miss(o.(metav1.Object).GetUID())
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watching Pods: %w", err)
	}
	factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watching Pods: %w", context.Cause(ctx))
	}
	return w, nil
}

// lookAt returns what a Pod looks like, and whether one of its containers has just restarted.
func lookAt(pod *corev1.Pod) (l look, restarted bool) {
	l.subject = pod.Labels[subjectLabel]
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		l.isReady = l.isReady || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
	}
	if len(pod.Status.ContainerStatuses) > 0 {
		l.image = pod.Status.ContainerStatuses[0].Image
	}
	restarted = !l.isReady && l.image == pod.Spec.Containers[0].Image
	// What will never be ready is as far as it gets.
	l.isReady = l.isReady || l.image == imageFlaky && strings.HasSuffix(string(pod.UID), "0")
	return l, restarted
}

func (w *witness) see(pod *corev1.Pod) {
	l, restarted := lookAt(pod)
	w.mutex.Lock()
	old, known := w.pods[pod.UID]
	if known {
		w.counts[old]--
	}
	w.pods[pod.UID] = l
	w.counts[l]++
	tell := w.restarted[l.subject]
	w.mutex.Unlock()
	if tell != nil && restarted {
		tell(pod)
	}
}

func (w *witness) miss(uid types.UID) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if old, known := w.pods[uid]; known {
		w.counts[old]--
		delete(w.pods, uid)
	}
}

// onRestart sets who is told of the restarted containers of a subject; nil is nobody.
func (w *witness) onRestart(subject string, tell func(*corev1.Pod)) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.restarted[subject] = tell
}

// count returns how many Pods a subject has, and how many of them are ready with an image.
func (w *witness) count(subject, image string) (all, ready int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for l, n := range w.counts {
		if l.subject != subject {
			continue
		}
		all += n
		if l.isReady && l.image == image {
			ready += n
		}
	}
	return all, ready
}

// goal is what a scenario waits for: so many Pods, all of them ready with an image.
type goal struct {
	subject, image string
	pods           int
}

// point is how many Pods had reached the goal after some seconds.
type point struct {
	Seconds float64 `json:"seconds"`
	Pods    int     `json:"pods"`
}

// wait returns when the goal is reached, with the way there. It gives up when nothing has moved for a minute, as when who was to do it has ended.
func (w *witness) wait(ctx context.Context, g goal) ([]point, error) {
	const every, patience = 10 * time.Millisecond, time.Minute
	begun, moved, tick := time.Now(), time.Now(), time.NewTicker(every)
	defer tick.Stop()
	var way []point
	for all, ready := w.count(g.subject, g.image); ; {
		reached := all == g.pods && ready == g.pods
		if seconds := time.Since(begun).Seconds(); reached || len(way) == 0 || seconds-way[len(way)-1].Seconds > 0.1 {
			way = append(way, point{Seconds: seconds, Pods: ready})
		}
		switch {
		case reached:
			return way, nil
		case time.Since(moved) > patience:
			return way, fmt.Errorf("waiting for %d Pods of %s to be ready with %s: %d of %d are, and nothing has moved for %s", g.pods, g.subject, g.image, ready, all, patience)
		}
		select {
		case <-ctx.Done():
			return way, fmt.Errorf("waiting for %d Pods of %s to be ready with %s: %d of %d are: %w", g.pods, g.subject, g.image, ready, all, ctx.Err())
		case <-tick.C:
		}
		before := [2]int{all, ready}
		if all, ready = w.count(g.subject, g.image); before != [2]int{all, ready} {
			moved = time.Now()
		}
	}
}
