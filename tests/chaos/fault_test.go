// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos_test

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/keelson/keelson/tests/support"
)

// fault is one way to break something.
type fault struct {
	name   string
	weight int
	strike func(*chaos) string
}

// faults are all that the cluster has to bear, and how often.
func faults() []fault {
	return []fault{
		{"delete a Pod", 12, func(c *chaos) string { return c.deletePod() }},
		{"delete a Pod without grace", 6, func(c *chaos) string { return c.deletePod(resources.WithGracePeriod(0)) }},
		{"evict a Pod", 8, (*chaos).evictPod},
		{"kill the controllers", 5, (*chaos).killControllers},
		{"kill the agents", 3, func(c *chaos) string { return c.killPods("daemon", "nodeagent") }},
		{"kill the webhooks", 3, func(c *chaos) string { return c.killPods("webhook", "webhooks") }},
		{"kill a containerd", 4, (*chaos).killContainerd},
		{"restart the API server", 4, (*chaos).restartAPIServer},
		{"cordon and drain a node", 6, (*chaos).drainNode},
		{"stop a kubelet for a while", 6, (*chaos).stopKubelet},
	}
}

// chaos strikes one fault after another; what lasts a while goes on beside the next ones.
type chaos struct {
	*support.Suite
	*judge
	random *rand.Rand
	client *kubernetes.Clientset
	nodes  []string
	// broken are the faults that go on, and lasting is what else does; mending stops both before their time.
	broken, lasting sync.WaitGroup
	mending         context.Context
	// cordoned holds the node that takes no Pods, one at a time; up holds the nodes whose kubelets run, and stopped
	// lets two be stopped at once.
	cordoned, up, stopped chan string
	// outages counts how often a kubelet was stopped, and missed the faults that found nothing to strike.
	outages, missed int
}

// order is the faults to strike: each kind once, and then at random by their weights.
func (c *chaos) order(n int) (all []fault) {
	kinds := faults()
	c.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	sum := 0
	for _, f := range kinds {
		sum += f.weight
	}
	all = append(all, kinds...)
	for len(all) < n {
		roll := c.random.Intn(sum)
		for _, f := range kinds {
			if roll -= f.weight; roll < 0 {
				all = append(all, f)
				break
			}
		}
	}
	return all[:n]
}

// anyPod is a Pod of the test that is not about to go.
func (c *chaos) anyPod() corev1.Pod {
	var all map[string]corev1.Pod
	// While nobody makes new ones, the faults may have taken them all.
	c.Eventually("there is a Pod", func() bool {
		all = c.Pods("chaos=true")
		return len(all) > 0
	})
	names := support.SortedKeys(all)
	return all[names[c.random.Intn(len(names))]]
}

func (c *chaos) deletePod(options ...resources.DeleteOption) string {
	pod := c.anyPod()
	c.blame(pod.UID, "deleted")
	c.pardonUnlessDone(&pod, c.Resources.Delete(c.Context(), &pod, options...))
	return pod.Name
}

func (c *chaos) evictPod() string {
	pod := c.anyPod()
	c.evict(&pod)
	return pod.Name
}

func (c *chaos) evict(pod *corev1.Pod) {
	c.blame(pod.UID, "evicted")
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}}
	c.pardonUnlessDone(pod, c.client.CoreV1().Pods(c.Namespace).EvictV1(c.Context(), eviction))
}

// pardonUnlessDone pardons a Pod when it is certain that it was not taken away: of a connection that broke, nobody knows.
func (c *chaos) pardonUnlessDone(pod *corev1.Pod, err error) {
	if apierrors.IsNotFound(err) || apierrors.IsTooManyRequests(err) || apierrors.IsConflict(err) || apierrors.IsForbidden(err) {
		c.pardon(pod.UID)
	}
}

// killControllers kills the leader and its stand-ins in the middle of whatever they do. New ones see everything anew.
func (c *chaos) killControllers() string { return c.killPods("controller-manager", "controllers") }

// killContainerd kills the runtime of a node, which comes back at once; the containers run on.
func (c *chaos) killContainerd() string {
	node := c.nodes[c.random.Intn(len(c.nodes))]
	ctx := context.WithoutCancel(c.Context())
	require.NoError(c, support.StopRuntime(ctx, node))
	require.NoError(c, support.StartRuntime(ctx, node))
	return node
}

// killPods deletes all Pods of one of our programs without grace, now and then after a SIGKILL.
func (c *chaos) killPods(label, program string) string {
	how := ""
	if c.random.Intn(3) == 0 {
		how = ", by SIGKILL"
		// None may run just now.
		if err := support.Kill(c.Context(), program); err != nil {
			how = ", " + err.Error()
		}
	}
	var list corev1.PodList
	selector := resources.WithLabelSelector("control-plane=" + label)
	if err := c.Resources.WithNamespace("kruise-system").List(c.Context(), &list, selector); err != nil {
		return c.missedAll(err.Error() + how)
	}
	if len(list.Items) == 0 {
		return c.missedAll("there is none" + how)
	}
	for i := range list.Items {
		_ = c.Resources.Delete(c.Context(), &list.Items[i], resources.WithGracePeriod(0))
	}
	return fmt.Sprint(len(list.Items)) + how
}

// missedAll counts a fault that found nothing to strike, and says so.
func (c *chaos) missedAll(why string) string {
	c.missed++
	return "NOTHING WAS STRUCK: " + why
}

// restartAPIServer leaves the controllers with what they knew until their watches are there again.
func (c *chaos) restartAPIServer() string {
	c.blind(time.Now().Add(time.Minute))
	require.NoError(c, support.RestartAPIServer(context.WithoutCancel(c.Context())))
	c.blind(time.Now().Add(15 * time.Second))
	return ""
}

func (c *chaos) drainNode() string {
	node := c.nodes[c.random.Intn(len(c.nodes))]
	// The next one waits for its turn.
	c.cordoned <- node
	c.cordon(node, true)
	pods := c.Pods("chaos=true")
	for _, name := range support.SortedKeys(pods) {
		if pod := pods[name]; pod.Spec.NodeName == node {
			c.evict(&pod)
		}
	}
	c.last(time.Duration(2+c.random.Intn(6))*time.Second, func() {
		c.cordon(node, false)
		<-c.cordoned
	})
	return node
}

func (c *chaos) cordon(node string, isCordoned bool) {
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, isCordoned)
	// Whatever else fails, a node must not stay so.
	for range 60 {
		if _, err := c.client.CoreV1().Nodes().Patch(context.Background(), node, types.MergePatchType, patch, metav1.PatchOptions{}); err == nil {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// stopKubelet stops a kubelet; the first one for so long that its node is given up.
func (c *chaos) stopKubelet() string {
	c.stopped <- ""
	node := <-c.up
	length := time.Duration(3+c.random.Intn(8)) * time.Second
	if c.outages++; c.outages == 1 {
		length = 60 * time.Second
	}
	require.NoError(c, support.StopKubelet(context.WithoutCancel(c.Context()), node))
	c.last(length, func() {
		if err := support.StartKubelet(context.Background(), node); err != nil {
			fmt.Fprintf(os.Stderr, "starting the kubelet of %s again: %v\n", node, err)
		}
		c.up <- node
		<-c.stopped
	})
	return fmt.Sprintf("%s for %s", node, length)
}

// last lets a fault last, and then mends it.
func (c *chaos) last(length time.Duration, mend func()) {
	c.broken.Go(func() {
		select {
		case <-time.After(length):
		case <-c.mending.Done():
		}
		mend()
	})
}
