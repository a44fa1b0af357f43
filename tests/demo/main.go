// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows a CloneSet change its image in place: it applies docs/samples/demo-clone.yaml, changes the image, shows the rollout live, and proves at the
// end that the Pods are the same. With "compare" it makes one change of Pods as real ones are, in place and by recreation, and prints what each cost.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

const (
	sample    = "docs/samples/demo-clone.yaml"
	namespace = "default"
	oldImage  = "openkruise/demo:1.10.2"
	newImage  = "openkruise/demo:1.10.3"
	patience  = 3 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, len(os.Args) > 1 && os.Args[1] == "compare"); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// demo reaches the cluster.
type demo struct {
	core kubernetes.Interface
	sets dynamic.ResourceInterface
}

func run(ctx context.Context, isComparison bool) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	resource := schema.GroupVersionResource{Group: "apps.kruise.io", Version: "v1alpha1", Resource: "clonesets"}
	d := &demo{core: core, sets: client.Resource(resource).Namespace(namespace)}
	if isComparison {
		return d.compare(ctx)
	}
	return d.rollOut(ctx, "demo-clone")
}

// rollOut makes a CloneSet, changes its image, and shows what becomes of its Pods.
func (d *demo) rollOut(ctx context.Context, name string) error {
	if err := d.create(ctx, name); err != nil {
		return err
	}
	r := &rollout{demo: d, name: name, image: oldImage, replicas: 5}
	if err := r.wait(ctx, func([]corev1.Pod) {}); err != nil {
		return err
	}
	before, err := d.pods(ctx, name)
	if err != nil {
		return err
	}
	fmt.Printf("\n%s: 5 Pods run %s. Changing the image to %s; each is drained for 3 s:\n\n", name, oldImage, newImage)
	screen := newScreen(time.Now())
	if err := d.setImage(ctx, name, newImage); err != nil {
		return err
	}
	r.image = newImage
	if err := r.wait(ctx, screen.show); err != nil {
		return err
	}
	after, err := d.pods(ctx, name)
	if err != nil {
		return err
	}
	return prove(before, after)
}

// setImage changes the image of the first container.
func (d *demo) setImage(ctx context.Context, name, image string) error {
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image)
	if _, err := d.sets.Patch(ctx, name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("changing the image: %w", err)
	}
	return nil
}

func (d *demo) create(ctx context.Context, name string) error {
	raw, err := os.ReadFile(sample)
	if err != nil {
		return fmt.Errorf("reading the sample: %w", err)
	}
	set := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(raw, &set.Object); err != nil {
		return fmt.Errorf("reading the sample: %w", err)
	}
	set.SetName(name)
	labels := map[string]any{"app": name}
	err = errors.Join(
		unstructured.SetNestedMap(set.Object, labels, "spec", "selector", "matchLabels"),
		unstructured.SetNestedMap(set.Object, labels, "spec", "template", "metadata", "labels"),
	)
	if err != nil {
		return fmt.Errorf("preparing %s: %w", name, err)
	}
	return d.replace(ctx, set)
}

// replace creates a set, in place of what an earlier run left behind.
func (d *demo) replace(ctx context.Context, set *unstructured.Unstructured) error {
	name := set.GetName()
	foreground := metav1.DeletePropagationForeground
	if err := d.sets.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground}); err == nil {
		fmt.Printf("removing %s of an earlier run\n", name)
	}
	for end := time.Now().Add(patience); ; time.Sleep(300 * time.Millisecond) {
		_, err := d.sets.Create(ctx, set, metav1.CreateOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsAlreadyExists(err) || time.Now().After(end) {
			return fmt.Errorf("creating %s: %w", name, err)
		}
	}
}

// pods are the Pods of a set that are not about to go, by name.
func (d *demo) pods(ctx context.Context, name string) ([]corev1.Pod, error) {
	list, err := d.core.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		return nil, fmt.Errorf("listing Pods: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

// rollout is what is waited for.
type rollout struct {
	*demo
	name, image string
	replicas    int
}

// wait looks until all Pods are ready with an image and the set says that it is complete.
func (r *rollout) wait(ctx context.Context, show func([]corev1.Pod)) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		pods, err := r.pods(ctx, r.name)
		if err != nil {
			return err
		}
		show(pods)
		ready := 0
		for i := range pods {
			if pods[i].Spec.Containers[0].Image == r.image && isReady(&pods[i]) {
				ready++
			}
		}
		if ready == r.replicas && len(pods) == r.replicas && r.isComplete(ctx) {
			return nil
		}
	}
	return fmt.Errorf("waiting for %s to run %s: it took too long; kubectl describe clone %s says why", r.name, r.image, r.name)
}

func (r *rollout) isComplete(ctx context.Context) bool {
	set, err := r.sets.Get(ctx, r.name, metav1.GetOptions{})
	if err != nil {
		return false
	}
	updated, _, _ := unstructured.NestedInt64(set.Object, "status", "updatedAvailableReplicas")
	observed, _, _ := unstructured.NestedInt64(set.Object, "status", "observedGeneration")
	return updated == int64(r.replicas) && observed == set.GetGeneration()
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// screen shows the Pods whenever they change: one table after another, or in place of each other on a terminal.
type screen struct {
	begun      time.Time
	last       string
	isTerminal bool
}

func newScreen(begun time.Time) *screen {
	info, err := os.Stdout.Stat()
	return &screen{begun: begun, isTerminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (s *screen) show(pods []corev1.Pod) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  POD\tREVISION\tNODE\tIP\tRESTARTS\tREADY\tSTATE")
	for i := range pods {
		p := &pods[i]
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%d\t%v\t%s\n", p.Name, p.Labels["pod-template-hash"], p.Spec.NodeName, p.Status.PodIP, restarts(p), isReady(p), state(p))
	}
	if err := w.Flush(); err != nil || b.String() == s.last {
		return
	}
	if s.isTerminal && s.last != "" {
		fmt.Printf("\x1b[%dA\x1b[J", strings.Count(s.last, "\n")+1)
	}
	s.last = b.String()
	fmt.Printf("  after %.1f s\n%s", time.Since(s.begun).Seconds(), s.last)
}

func state(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Waiting != nil {
			return c.State.Waiting.Reason
		}
	}
	if s := p.Labels["lifecycle.apps.kruise.io/state"]; s != "" {
		return s
	}
	return string(p.Status.Phase)
}

func restarts(p *corev1.Pod) int32 {
	n := int32(0)
	for _, c := range p.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}

// prove shows what became of the Pods: nothing but a restart may have.
func prove(before, after []corev1.Pod) error {
	kept := 0
	fmt.Printf("\n  %-22s %-12s %-10s %-10s %-10s %s\n", "POD", "SAME NAME", "SAME UID", "SAME IP", "SAME NODE", "RESTARTS")
	for i := range after {
		is := &after[i]
		j := slices.IndexFunc(before, func(p corev1.Pod) bool { return p.Name == is.Name })
		if j < 0 {
			fmt.Printf("  %-22s %-12s %-10s %-10s %-10s %d\n", is.Name, "no: new Pod", "no", "no", "-", restarts(is))
			continue
		}
		was := &before[j]
		sameUID, sameIP, sameNode := was.UID == is.UID, was.Status.PodIP == is.Status.PodIP, was.Spec.NodeName == is.Spec.NodeName
		fmt.Printf("  %-22s %-12v %-10v %-10v %-10v %d -> %d\n", is.Name, true, sameUID, sameIP, sameNode, restarts(was), restarts(is))
		if sameUID && sameIP && sameNode && restarts(is) == restarts(was)+1 {
			kept++
		}
	}
	if kept != len(before) {
		return fmt.Errorf("only %d of %d Pods were kept", kept, len(before))
	}
	return nil
}
