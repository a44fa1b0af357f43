// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

const (
	namespace = "bench"
	imageV1   = "bench/app:v1"
	imageV2   = "bench/app:v2"
	imageV3   = "bench/app:v3"
	// imageFlaky never becomes ready in one Pod of sixteen, and takes its time in another.
	imageFlaky = "bench/app:flaky"
)

// change is what a subject does to its Pods.
type change struct {
	image string
	// unavailable is how many Pods may be out of service, as a workload's strategy writes it.
	unavailable string
	pods        int
}

// subject is one of those that are compared.
type subject interface {
	name() string
	// accounts are the users under which it asks the API server.
	accounts() []string
	// program is the name of its process beside the cluster; empty when it runs inside the bench.
	program() string
	hasMetrics() bool
	// create makes so many sets, of so many Pods each.
	create(ctx context.Context, sets, pods int) error
	scale(ctx context.Context, pods int) error
	// update changes the image in place; nil where the subject cannot.
	canUpdate() bool
	update(ctx context.Context, c change) error
	// recreate changes the image by new Pods.
	recreate(ctx context.Context, c change) error
	remove(ctx context.Context) error
}

// template is the Pod of all subjects.
func template(subject string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{subjectLabel: subject, "app": "bench"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "main", Image: imageV1,
				Env:   []corev1.EnvVar{{Name: "LEVEL", Value: "info"}, {Name: "PEERS", Value: "a,b,c"}},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			}},
		},
	}
}

func labels(subject, set string) map[string]string {
	return map[string]string{subjectLabel: subject, "bench/set": set}
}

func setName(subject string, n int) string { return fmt.Sprintf("%s-%d", subject, n) }

// workload is a subject that is a controller: everything is asked of its objects.
type workload struct {
	client           dynamic.ResourceInterface
	called, runs     string
	users            []string
	measuresItself   bool
	isUpdatedInPlace bool
	build            func(name string, pods int32) runtime.Object
	// strategy writes how the next image is rolled out.
	strategy func(c change, inPlace bool) map[string]any
}

func (w *workload) name() string       { return w.called }
func (w *workload) accounts() []string { return w.users }
func (w *workload) program() string    { return w.runs }
func (w *workload) hasMetrics() bool   { return w.measuresItself }
func (w *workload) canUpdate() bool    { return w.isUpdatedInPlace }

func (w *workload) create(ctx context.Context, sets, pods int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range sets {
		group.Go(func() error {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(w.build(setName(w.called, i), int32(pods)))
			if err != nil {
				return fmt.Errorf("encoding a set: %w", err)
			}
			_, err = w.client.Create(ctx, &unstructured.Unstructured{Object: fields}, metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

// patch changes all sets of the subject.
func (w *workload) patch(ctx context.Context, spec map[string]any) error {
	raw, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	list, err := w.client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing sets: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range list.Items {
		group.Go(func() error {
			_, err := w.client.Patch(ctx, list.Items[i].GetName(), types.MergePatchType, raw, metav1.PatchOptions{})
			return err
		})
	}
	return group.Wait()
}

func (w *workload) scale(ctx context.Context, pods int) error {
	return w.patch(ctx, map[string]any{"replicas": pods})
}

func (w *workload) update(ctx context.Context, c change) error { return w.roll(ctx, c, true) }

func (w *workload) recreate(ctx context.Context, c change) error { return w.roll(ctx, c, false) }

func (w *workload) roll(ctx context.Context, c change, inPlace bool) error {
	spec := w.strategy(c, inPlace)
	// A merge patch replaces lists: the container is written whole.
	main := template(w.called).Spec.Containers[0]
	main.Image = c.image
	spec["template"] = map[string]any{"spec": map[string]any{"containers": []corev1.Container{main}}}
	return w.patch(ctx, spec)
}

func (w *workload) remove(ctx context.Context) error {
	foreground := metav1.DeletePropagationForeground
	err := w.client.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &foreground}, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("deleting sets: %w", err)
	}
	for {
		list, err := w.client.List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("listing sets: %w", err)
		}
		if len(list.Items) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the sets of %s to be gone: %w", w.called, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ours are CloneSets under the controllers of this project.
func ours(client dynamic.Interface) subject {
	return &workload{
		called: "ours", runs: "controllers", measuresItself: true, isUpdatedInPlace: true,
		users:  []string{"system:serviceaccount:kruise-system:kruise-manager"},
		client: client.Resource(kruisev1beta1.GroupVersion.WithResource("clonesets")).Namespace(namespace),
		build: func(name string, pods int32) runtime.Object {
			t := template("ours")
			t.Labels["bench/set"] = name
			return &kruisev1beta1.CloneSet{
				TypeMeta:   metav1.TypeMeta{APIVersion: kruisev1beta1.GroupVersion.String(), Kind: "CloneSet"},
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec:       kruisev1beta1.CloneSetSpec{Replicas: &pods, Selector: &metav1.LabelSelector{MatchLabels: labels("ours", name)}, Template: t},
			}
		},
		strategy: func(c change, inPlace bool) map[string]any {
			policy := kruisev1beta1.RecreatePodUpdatePolicyType
			if inPlace {
				policy = kruisev1beta1.InPlaceOnlyPodUpdatePolicyType
			}
			return map[string]any{"updateStrategy": map[string]any{"rollingUpdate": map[string]any{
				"podUpdatePolicy": policy, "maxUnavailable": c.unavailable,
			}}}
		},
	}
}

// deployments are Deployments under Kubernetes' own controllers, without limits on the client's side.
func deployments(client dynamic.Interface) subject {
	return &workload{
		called: "native", runs: "native",
		users: []string{
			"system:serviceaccount:kube-system:deployment-controller", "system:serviceaccount:kube-system:replicaset-controller",
		},
		client: client.Resource(appsv1.SchemeGroupVersion.WithResource("deployments")).Namespace(namespace),
		build: func(name string, pods int32) runtime.Object {
			t := template("native")
			t.Labels["bench/set"] = name
			return &appsv1.Deployment{
				TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: appsv1.DeploymentSpec{
					Replicas: &pods, Selector: &metav1.LabelSelector{MatchLabels: labels("native", name)}, Template: t,
					Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(intstr.FromInt32(0)), MaxUnavailable: ptr.To(intstr.FromString("10%"))}},
				},
			}
		},
		strategy: func(c change, _ bool) map[string]any {
			return map[string]any{"strategy": map[string]any{"rollingUpdate": map[string]any{"maxSurge": 0, "maxUnavailable": c.unavailable}}}
		},
	}
}
