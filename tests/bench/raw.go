// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/keelson/keelson/api/apps/pub"
)

// workers is how many requests the raw client has under way at once.
const workers = 32

// raw is a bare client that knows what to do: it makes the fewest writes that are safe, and nothing else. It decides nothing and looks nothing up.
//
//	a new Pod      create · make ready
//	in place       drain · change the image · (the container restarts) · make ready
//	by a new Pod   delete · create · make ready
type raw struct {
	client  kubernetes.Interface
	witness *witness
	// owner controls its Pods: a Pod without one is looked at by everybody who may adopt it.
	owner metav1.OwnerReference
	made  int
	names []string
}

func (r *raw) name() string       { return "raw" }
func (r *raw) accounts() []string { return []string{"system:serviceaccount:" + namespace + ":raw"} }
func (r *raw) program() string    { return "" }
func (r *raw) hasMetrics() bool   { return false }
func (r *raw) canUpdate() bool    { return true }

func (r *raw) create(ctx context.Context, sets, pods int) error {
	return r.scale(ctx, len(r.names)+sets*pods)
}

func (r *raw) remove(ctx context.Context) error { return r.scale(ctx, 0) }

func (r *raw) scale(ctx context.Context, pods int) error {
	if surplus := len(r.names) - pods; surplus > 0 {
		gone := r.names[pods:]
		r.names = r.names[:pods]
		return each(ctx, gone, r.delete)
	}
	added := r.newNames(pods - len(r.names))
	r.names = append(r.names, added...)
	return each(ctx, added, func(ctx context.Context, name string) error { return r.add(ctx, name, imageV1) })
}

func (r *raw) newNames(n int) []string {
	var names []string
	for range n {
		r.made++
		names = append(names, fmt.Sprintf("raw-%d", r.made))
	}
	return names
}

func (r *raw) delete(ctx context.Context, name string) error {
	return r.client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}

// add creates a Pod and makes it ready.
func (r *raw) add(ctx context.Context, name, image string) error {
	t := template("raw")
	pod := &corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}
	pod.Name, pod.Spec.Containers[0].Image, pod.OwnerReferences = name, image, []metav1.OwnerReference{r.owner}
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: pub.InPlaceUpdateReady}}
	if _, err := r.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	return r.turn(ctx, name, corev1.ConditionTrue)
}

// turn makes a Pod ready, or drains it.
func (r *raw) turn(ctx context.Context, name string, ready corev1.ConditionStatus) error {
	conditions := []corev1.PodCondition{{Type: pub.InPlaceUpdateReady, Status: ready, LastTransitionTime: metav1.Now()}}
	if ready == corev1.ConditionFalse {
		conditions = append(conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()})
	}
	return r.patch(ctx, name, map[string]any{"status": map[string]any{"conditions": conditions}}, "status")
}

func (r *raw) patch(ctx context.Context, name string, body map[string]any, subresources ...string) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = r.client.CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, raw, metav1.PatchOptions{}, subresources...)
	return err
}

// update drains Pods and changes their image, as many at once as may be out of service, and makes each ready as soon as its container has restarted.
func (r *raw) update(ctx context.Context, c change) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := intstr.Parse(c.unavailable)
	allowed, err := intstr.GetScaledValueFromIntOrPercent(&limit, len(r.names), true)
	if err != nil {
		return fmt.Errorf("reading how many Pods may be out of service: %w", err)
	}
	seats := make(chan struct{}, allowed)
	restarted := make(chan string, len(r.names))
	var once sync.Map
	r.witness.onRestart(r.name(), func(pod *corev1.Pod) {
		if pod.Spec.Containers[0].Image != c.image {
			return
		}
		if _, told := once.LoadOrStore(pod.Name, true); !told {
			restarted <- pod.Name
		}
	})
	defer r.witness.onRestart(r.name(), nil)
	group, ctx := errgroup.WithContext(ctx)
	todo := make(chan string)
	group.Go(func() error {
		defer close(todo)
		for _, name := range r.names {
			select {
			case seats <- struct{}{}:
				todo <- name
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	left := make(chan struct{}, len(r.names))
	for range workers {
		group.Go(func() error {
			return r.work(ctx, pipeline{todo: todo, restarted: restarted, seats: seats, left: left, image: c.image})
		})
	}
	return group.Wait()
}

// pipeline is what the workers of an update share.
type pipeline struct {
	todo, restarted chan string
	seats           chan struct{}
	// left holds one token for each Pod that is done.
	left  chan struct{}
	image string
}

// work takes whatever can be done next, and what ends an update before what begins one.
func (r *raw) work(ctx context.Context, p pipeline) error {
	for len(p.left) < cap(p.left) {
		var err error
		select {
		case name, more := <-p.restarted:
			err = r.finish(ctx, p, name, more)
		default:
			err = r.next(ctx, &p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next waits for what can be done.
func (r *raw) next(ctx context.Context, p *pipeline) error {
	select {
	case name, more := <-p.restarted:
		return r.finish(ctx, *p, name, more)
	case name, more := <-p.todo:
		if !more {
			p.todo = nil
			return nil
		}
		return r.start(ctx, name, p.image)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *raw) start(ctx context.Context, name, image string) error {
	if err := r.turn(ctx, name, corev1.ConditionFalse); err != nil {
		return err
	}
	return r.patch(ctx, name, map[string]any{"spec": map[string]any{"containers": []map[string]any{{"name": "main", "image": image}}}})
}

// finish ends the update of a Pod that has restarted, if there is one more.
func (r *raw) finish(ctx context.Context, p pipeline, name string, more bool) error {
	if !more {
		return nil
	}
	err := r.turn(ctx, name, corev1.ConditionTrue)
	<-p.seats
	p.left <- struct{}{}
	if len(p.left) == cap(p.left) {
		// Whoever still waits is told that nothing is left.
		close(p.restarted)
	}
	return err
}

// recreate replaces all Pods at once.
func (r *raw) recreate(ctx context.Context, c change) error {
	old := r.names
	r.names = r.newNames(len(old))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range old {
		group.Go(func() error {
			if err := r.delete(ctx, old[i]); err != nil {
				return err
			}
			return r.add(ctx, r.names[i], c.image)
		})
	}
	return group.Wait()
}

// each does something for all names, by all workers.
func each(ctx context.Context, names []string, do func(context.Context, string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, name := range names {
		group.Go(func() error { return do(ctx, name) })
	}
	return group.Wait()
}
