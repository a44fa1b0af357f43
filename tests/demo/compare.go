// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed shop.yaml
var shop string

// shopPods is how many Pods shop.yaml has.
const shopPods = 2

// cost is what one change of an image took.
type cost struct {
	took time.Duration
	// away is how long a Pod was out of service, in the mean.
	away time.Duration
	// pulled is how long kubelets pulled, and cold how many Pods came to a node that had nothing of the image.
	pulled time.Duration
	cold   int
	// initRuns, scheduled and moved are how many init containers ran again, Pods were placed again, and addresses changed.
	initRuns, scheduled, moved int
}

// compare makes the same change of the same Pods in place and by recreation, and prints what each took.
func (d *demo) compare(ctx context.Context) error {
	fmt.Printf(`
Two sets of the same %d Pods: an image of 200 MB, of which both versions share a base of 180 MB; an init container that takes 5 s to put 100 MB into a volume;
3 s of preStop to finish what is under way; maxUnavailable 1. There are more nodes than Pods, as usual. The image changes from v1 to v2:

`, shopPods)
	inPlace, err := d.measure(ctx, "shop-in-place", "InPlaceIfPossible")
	if err != nil {
		return err
	}
	recreated, err := d.measure(ctx, "shop-recreated", "ReCreate")
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	fmt.Fprintln(w, "  \tIN PLACE\tBY RECREATION")
	for _, row := range []struct {
		what string
		of   func(cost) string
	}{
		{"the rollout took", func(c cost) string { return seconds(c.took) }},
		{"each Pod was out of service for", func(c cost) string { return seconds(c.away) }},
		{"pulling took, in all", func(c cost) string { return seconds(c.pulled) }},
		{"Pods on a node that had nothing of the image", func(c cost) string { return fmt.Sprint(c.cold) }},
		{"init containers that ran again", func(c cost) string { return fmt.Sprint(c.initRuns) }},
		{"volumes that were filled again", func(c cost) string { return fmt.Sprintf("%d, %d MB", c.initRuns, 100*c.initRuns) }},
		{"Pods that had to be placed again", func(c cost) string { return fmt.Sprint(c.scheduled) }},
		{"addresses that changed", func(c cost) string { return fmt.Sprint(c.moved) }},
	} {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", row.what, row.of(inPlace), row.of(recreated))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Println("\nIn place, too, the layers that changed are pulled. The registry is on this machine: where it is not, every pull takes longer, and that of the whole image most.")
	return nil
}

// measure makes a set, changes its image, and removes it again.
func (d *demo) measure(ctx context.Context, name, policy string) (cost, error) {
	var c cost
	set := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.NewReplacer("NAME", name, "POLICY", policy).Replace(shop)), &set.Object); err != nil {
		return c, fmt.Errorf("reading shop.yaml: %w", err)
	}
	if err := d.replace(ctx, set); err != nil {
		return c, err
	}
	oldImage, newImage := "keelson/"+name+":v1", "keelson/"+name+":v2"
	r := &rollout{demo: d, name: name, image: oldImage, replicas: shopPods}
	if err := r.wait(ctx, func([]corev1.Pod) {}); err != nil {
		return c, err
	}
	before, err := d.pods(ctx, name)
	if err != nil {
		return c, err
	}
	begun := time.Now()
	if err := d.setImage(ctx, name, newImage); err != nil {
		return c, err
	}
	last := begun
	r.image = newImage
	err = r.wait(ctx, func(pods []corev1.Pod) {
		now := time.Now()
		for range shopPods - min(shopPods, countReady(pods)) {
			c.away += now.Sub(last) / shopPods
		}
		last = now
	})
	if err != nil {
		return c, err
	}
	c.took = time.Since(begun)
	after, err := d.pods(ctx, name)
	if err != nil {
		return c, err
	}
	c.count(before, after)
	if c.pulled, err = d.pulls(ctx, newImage, begun); err != nil {
		return c, err
	}
	foreground := metav1.DeletePropagationForeground
	return c, d.sets.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground})
}

func countReady(pods []corev1.Pod) (n int) {
	for i := range pods {
		if isReady(&pods[i]) {
			n++
		}
	}
	return n
}

// count counts what became of the Pods.
func (c *cost) count(before, after []corev1.Pod) {
	old, warm := map[string]corev1.Pod{}, map[string]bool{}
	for _, pod := range before {
		old[string(pod.UID)] = pod
		warm[pod.Spec.NodeName] = true
	}
	for i := range after {
		pod := &after[i]
		was, found := old[string(pod.UID)]
		if !found {
			c.scheduled++
			c.initRuns += len(pod.Status.InitContainerStatuses)
		}
		if was.Status.PodIP != pod.Status.PodIP {
			c.moved++
		}
		if !warm[pod.Spec.NodeName] {
			c.cold++
			warm[pod.Spec.NodeName] = true
		}
	}
}

// pulls is how long the kubelets say that they pulled an image since a moment.
func (d *demo) pulls(ctx context.Context, image string, since time.Time) (sum time.Duration, err error) {
	events, err := d.core.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=Pulled"})
	if err != nil {
		return 0, fmt.Errorf("listing events: %w", err)
	}
	pattern := regexp.MustCompile(`^Successfully pulled image "` + regexp.QuoteMeta(image) + `" in ([0-9.a-z]+)`)
	for i := range events.Items {
		if found := pattern.FindStringSubmatch(events.Items[i].Message); found != nil && !events.Items[i].LastTimestamp.Time.Before(since.Truncate(time.Second)) {
			if took, err := time.ParseDuration(found[1]); err == nil {
				sum += took
			}
		}
	}
	return sum, nil
}
