// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chaos_test lets faults strike a cluster of real kubelets while sets roll out without end, and judges what a client that watches has seen.
package chaos_test

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

func TestMain(m *testing.M) { support.Main(m, "default") }

// number is an environment variable that holds a number.
func number(t *testing.T, name string, otherwise int64) int64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

func TestRolloutsSurviveFiftyFaults(t *testing.T) {
	support.Disrupt(t)
	seed := number(t, "KEELSON_CHAOS_SEED", time.Now().UnixNano())
	tell("KEELSON_CHAOS_SEED=%d strikes these faults again", seed)
	c := begin(t, seed)
	sets := c.populate()
	claims := c.Claims()
	require.Len(t, claims, 2, "each Pod of claimed has one")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rollouts := make(chan int, len(sets))
	for i, name := range sets {
		go func() { rollouts <- c.rollOut(ctx, name, rand.New(rand.NewSource(seed+int64(i)+1))) }()
	}
	c.lasting.Go(func() { c.serveHooks(c.mending) })
	for i, f := range c.order(int(number(t, "KEELSON_CHAOS_FAULTS", 50))) {
		begun := time.Now()
		what := f.strike(c)
		tell("fault %2d: %s: %s (%.1f s)", i+1, f.name, what, time.Since(begun).Seconds())
		time.Sleep(time.Duration(300+c.random.Intn(2000)) * time.Millisecond)
	}
	stop()
	done := 0
	for range sets {
		done += <-rollouts
	}
	c.broken.Wait()

	c.release("partitioned")
	rolling := `{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}`
	c.Patch(&kruisev1beta1.CloneSet{}, "partitioned", rolling)
	for _, name := range sets {
		c.wants(name, support.ImageV3)
		c.SetImage(name, support.ImageV3)
	}
	for _, name := range sets {
		c.converges(name)
	}
	// There may be more: a Pod that does not end, because its kubelet is away for longer than it is waited for, is replaced by one with new volumes.
	after := c.Claims()
	for name, claim := range claims {
		assert.Equal(t, claim.UID, after[name].UID, "the claim %s and its data are still there", name)
	}
	s := c.sentence()
	tell("%d rollouts were completed under faults; the controllers took away %d Pods that served, %d of them (%.1f %%, of at most %.0f %%) beside one that a fault had broken "+
		"just before; %d times the judge had to look at all Pods; %d faults found nothing to strike",
		done, s.spared, s.excused, 100*float64(s.excused)/float64(max(s.spared, 1)), 100*excusedShare, s.looks, c.missed)
	assert.Empty(t, s.verdicts)
	assert.Positive(t, s.spared, "something was rolled out")
	assert.Positive(t, done, "and came to its end while faults struck")
	assert.LessOrEqual(t, float64(s.excused), 2+excusedShare*float64(s.spared), "excuses stay few")
}

// excusedShare is how many of the Pods that the controllers take away may be excused by a fault, beside two in any case.
const excusedShare = 0.1

// serveHooks plays the owner of the hooks until the context ends: it lets Pods go that are about to be updated or deleted, and takes them in again. What fails is tried again.
func (c *chaos) serveHooks(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(300 * time.Millisecond) {
		pods, err := c.client.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=hooked"})
		if err != nil {
			continue
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			state, patch := pub.LifecycleStateType(pod.Labels[pub.LifecycleStateKey]), ""
			switch {
			case pod.DeletionTimestamp != nil || state == pub.LifecycleStatePreparingUpdate || state == pub.LifecycleStatePreparingDelete:
				patch = `{"metadata":{"finalizers":null,"labels":{"drain":null}}}`
			case state == pub.LifecycleStateUpdated:
				patch = `{"metadata":{"finalizers":["` + drainFinalizer + `"],"labels":{"drain":"me"}}}`
			default:
				continue
			}
			_, _ = c.client.CoreV1().Pods(c.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		}
	}
}

// tell writes what happens as it happens.
func tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
}

// begin makes a judge and lets it watch; whatever is broken is mended when the test ends.
func begin(t *testing.T, seed int64) *chaos {
	t.Helper()
	c := &chaos{
		Suite: support.BeginAlone(t), judge: newJudge(promises()), random: rand.New(rand.NewSource(seed)),
		cordoned: make(chan string, 1), up: make(chan string, 99), stopped: make(chan string, 2),
	}
	var err error
	c.client, err = kubernetes.NewForConfig(c.Resources.GetConfig())
	require.NoError(t, err)
	nodes, err := c.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range nodes.Items {
		c.nodes = append(c.nodes, nodes.Items[i].Name)
	}
	for _, i := range c.random.Perm(len(c.nodes)) {
		c.up <- c.nodes[i]
	}
	var mend context.CancelFunc
	c.mending, mend = context.WithCancel(context.Background())
	t.Cleanup(func() {
		c.letAllGo()
		mend()
		c.broken.Wait()
		c.lasting.Wait()
		awaitPeace(t, c.client)
	})
	c.watch()
	return c
}

// letAllGo deletes the set with hooks while their owner is there, so that nothing keeps the namespace.
func (c *chaos) letAllGo() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = c.Resources.Delete(ctx, &kruisev1beta1.CloneSet{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: "hooked"}})
	for ; ctx.Err() == nil; time.Sleep(300 * time.Millisecond) {
		pods, err := c.client.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=hooked"})
		if err == nil && len(pods.Items) == 0 {
			return
		}
	}
}

// awaitPeace waits until the next suite finds the cluster as this one did.
func awaitPeace(t *testing.T, client *kubernetes.Clientset) {
	t.Helper()
	for end := time.Now().Add(support.Patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		nodes, err := client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
		deployment, err2 := client.AppsV1().Deployments("kruise-system").Get(context.Background(), "kruise-controller-manager", metav1.GetOptions{})
		if err != nil || err2 != nil || deployment.Status.AvailableReplicas < *deployment.Spec.Replicas {
			continue
		}
		ready := 0
		for i := range nodes.Items {
			for _, condition := range nodes.Items[i].Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && len(nodes.Items[i].Spec.Taints) == 0 {
					ready++
				}
			}
		}
		if ready == len(nodes.Items) {
			return
		}
	}
	t.Error("the cluster is not what it was")
}

// watch lets the judge see every change of a Pod, in the order of the API server. One that has restarted may not know the latest past: then the judge looks at all Pods.
func (c *chaos) watch() {
	c.Helper()
	list := cache.NewFilteredListWatchFromClient(c.client.CoreV1().RESTClient(), "pods", c.Namespace, func(o *metav1.ListOptions) { o.LabelSelector = "chaos=true" })
	go func() {
		for ; c.Context().Err() == nil; time.Sleep(100 * time.Millisecond) {
			all, err := list.ListWithContext(c.Context(), metav1.ListOptions{})
			if err != nil {
				continue
			}
			pods := all.(*corev1.PodList)
			c.seeAll(pods.Items)
			if events, err := watchtools.NewRetryWatcherWithContext(c.Context(), pods.ResourceVersion, list); err == nil {
				c.follow(events)
			}
		}
	}()
}

// follow takes in events until there are no more.
func (c *chaos) follow(events *watchtools.RetryWatcher) {
	defer events.Stop()
	for event := range events.ResultChan() {
		pod, isPod := event.Object.(*corev1.Pod)
		if !isPod {
			return
		}
		c.see(pod, event.Type == watch.Deleted)
	}
}

// promises are what the sets of populate promise.
func promises() map[string]promise {
	return map[string]promise{
		"kept":        {replicas: 5, maxUnavailable: 1, isKept: true},
		"surging":     {replicas: 4, maxSurge: 1, maxUnavailable: 1},
		"replaced":    {replicas: 3, maxSurge: 1},
		"claimed":     {replicas: 2, maxUnavailable: 1, isKept: true},
		"hooked":      {replicas: 3, maxUnavailable: 1, isKept: true},
		"partitioned": {replicas: 4, maxUnavailable: 1, partition: 2, isKept: true},
	}
}

// populate makes one set for each way to roll out.
func (c *chaos) populate() []string {
	c.Helper()
	hook := &pub.LifecycleHook{LabelsHandler: map[string]string{drainLabel: "me"}, FinalizersHandler: []string{drainFinalizer}}
	hooks := pub.Lifecycle{PreDelete: hook, InPlaceUpdate: hook}
	sets := map[string]*support.CloneSetBuilder{
		"claimed":     support.MakeCloneSet("claimed").Replicas(2).MaxUnavailable("1").Volume("data", c.Volumes(2)).ReuseVolumes(),
		"hooked":      support.MakeCloneSet("hooked").Replicas(3).MaxUnavailable("1").Hooked(hook).Lifecycle(hooks),
		"partitioned": support.MakeCloneSet("partitioned").Replicas(4).MaxUnavailable("1").Partition("2"),
		"kept":        support.MakeCloneSet("kept").Replicas(5).MaxUnavailable("1").GracePeriod(1),
		"surging":     support.MakeCloneSet("surging").Replicas(4).MaxUnavailable("1").MaxSurge("1"),
		"replaced":    support.MakeCloneSet("replaced").Replicas(3).MaxUnavailable("0").MaxSurge("1").Policy(kruisev1beta1.RecreatePodUpdatePolicyType),
	}
	for _, builder := range sets {
		set := builder.Obj()
		set.Spec.Template.Labels["chaos"] = "true"
		c.Create(set)
	}
	for name := range sets {
		c.WaitReady(name)
	}
	return support.SortedKeys(sets)
}

// rollOut changes the image of a set again and again, now and then before the last change is through, and counts how many were. It gives no errors: the API server may be
// away at any moment.
func (c *chaos) rollOut(ctx context.Context, name string, random *rand.Rand) (done int) {
	images := []string{support.ImageV2, support.ImageV3, support.ImageV1}
	if name == "partitioned" {
		// The first one stays what the others keep.
		images = images[:2]
	}
	for i := 0; ctx.Err() == nil; i++ {
		set := &kruisev1beta1.CloneSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace}}
		patch := `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"` + images[i%len(images)] + `"}]`
		c.wants(name, images[i%len(images)])
		if err := c.Resources.Patch(ctx, set, k8s.Patch{PatchType: types.JSONPatchType, Data: []byte(patch)}); err != nil {
			time.Sleep(500 * time.Millisecond)
			continue
		}
		patience := time.Minute
		if random.Intn(4) == 0 {
			patience = time.Duration(random.Intn(4000)) * time.Millisecond
		}
		if c.isThrough(ctx, name, patience) {
			done++
		}
	}
	return done
}

// isThrough waits for a rollout for a while.
func (c *chaos) isThrough(ctx context.Context, name string, patience time.Duration) bool {
	wanted := int32(promises()[name].replicas - promises()[name].partition)
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(300 * time.Millisecond) {
		set := &kruisev1beta1.CloneSet{}
		if c.Resources.Get(ctx, name, c.Namespace, set) == nil && set.Status.ObservedGeneration == set.Generation && set.Status.UpdatedAvailableReplicas == wanted {
			return true
		}
	}
	return false
}

// converges waits until a set is what it should be, seen by its own word and by its Pods.
func (c *chaos) converges(name string) {
	c.Helper()
	set := c.WaitReady(name)
	assert.EqualValues(c, *set.Spec.Replicas, set.Status.UpdatedAvailableReplicas, name)
	pods := c.Pods("app=" + name)
	assert.Len(c, pods, int(*set.Spec.Replicas), name)
	for _, pod := range pods {
		assert.Equal(c, support.ImageV3, pod.Spec.Containers[0].Image, pod.Name)
		assert.Contains(c, pod.Status.ContainerStatuses[0].Image, support.ImageV3, pod.Name)
		assert.True(c, support.IsReady(pod), pod.Name)
	}
}
