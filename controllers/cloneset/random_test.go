// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// skippable is how many worlds of a hundred may end without a verdict: the spec itself keeps Pods that cannot work.
const skippable = 10

const (
	// seeds times stepsPerSeed is how many random steps a run of the tests takes; what follows until a world is at rest comes on top.
	seeds        = 6_700
	stepsPerSeed = 150
	// wantSteps is what the house asks for.
	wantSteps = 1_000_000
	// restTurns is how long a world of at most eight Pods may need to come to rest, once nobody disturbs it.
	restTurns = 1500
	// restRounds is how often the owner of the hooks may have to do something until then.
	restRounds = 100
)

// TestRandom lets users, kubelets, faults and the controllers loose on small worlds in seeded random order. The invariants are checked after every
// write; in the end the user stops, and the world must come to what the spec says. SIM_SEED=n replays one seed and prints its script;
// SIM_SEEDS=n tries n worlds instead of those of every run.
func TestRandom(t *testing.T) {
	if replay := os.Getenv("SIM_SEED"); replay != "" {
		seed, err := strconv.ParseUint(replay, 10, 64)
		require.NoError(t, err)
		c := newChaos(seed)
		problem := c.run()
		t.Log("\n" + c.Script.String())
		require.Empty(t, problem)
		return
	}
	worlds := uint64(seeds)
	if more := os.Getenv("SIM_SEEDS"); more != "" {
		var err error
		worlds, err = strconv.ParseUint(more, 10, 64)
		require.NoError(t, err)
	}
	var steps, skipped atomic.Int64
	var players errgroup.Group
	players.SetLimit(runtime.GOMAXPROCS(0))
	for seed := range worlds {
		players.Go(func() error {
			c := newChaos(seed)
			problem := c.run()
			steps.Add(int64(c.steps))
			if c.skipped != "" {
				skipped.Add(1)
			}
			if problem != "" {
				return fmt.Errorf("%s\nSIM_SEED=%d go test ./controllers/cloneset -run TestRandom -v replays it; the script ends so:\n%s", problem, seed, c.Script.Tail(60))
			}
			return nil
		})
	}
	require.NoError(t, players.Wait())
	if worlds == seeds {
		require.GreaterOrEqual(t, steps.Load(), int64(wantSteps), "too few random steps to say anything")
	}
	t.Logf("%d random steps in %d worlds; %d worlds had no end that can be judged", steps.Load(), worlds, skipped.Load())
	require.LessOrEqual(t, 100*skipped.Load(), skippable*int64(worlds), "too many worlds are not judged")
}

// chaos is one random world.
type chaos struct {
	*sim.Play
	rand       sim.Chance
	controller *simulated
	// lag makes the caches late; nil shows everything at once.
	lag   *lag
	watch *watch
	steps int
	// skipped is why the end of the world was not judged; empty when it was.
	skipped string
	copies  int
}

func newChaos(seed uint64) *chaos { return newChaosOf(rand.New(rand.NewPCG(seed, 0x6b65656c))) }

// newChaosOf makes the world that chance chooses.
func newChaosOf(random sim.Chance) *chaos {
	world := sim.NewWorld()
	world.Script = &sim.Script{}
	world.Chance = random
	world.Images["app:gone"] = sim.Image{Missing: true}
	world.Images["app:bad"] = sim.Image{Crashes: true}
	world.Images["app:v4"] = sim.Image{Digest: "same"}
	world.Images["app:v5"] = sim.Image{Digest: "same"}
	if random.IntN(2) == 0 {
		world.Faults = sim.Faults{sim.Conflict: 20, sim.Refusal: 10, sim.LostAnswer: 10, sim.Kill: 20, sim.StatusRefusal: 20}
	}
	c := &chaos{rand: random, controller: simulate(MakeCloneSet("web").Sidecar("proxy:v1").Obj())}
	c.controller.policy.ShortHash = random.IntN(4) == 0
	c.controller.policy.PartitionRollback = random.IntN(4) == 0
	c.controller.policy.PreparingUpdateAsUpdate = random.IntN(4) == 0
	if random.IntN(3) == 0 {
		world.Zones = map[string]string{"node-1": "a", "node-2": "a", "node-3": "b"}
		(&builder{c.controller.set}).SpreadBy(corev1.LabelTopologyZone)
	}
	c.controller.policy.RecreateOnClaimChange = random.IntN(2) == 0
	c.equip(world, &builder{c.controller.set})
	c.controller.policy.ExcludePreparingDelete = random.IntN(8) == 0
	c.Play = sim.NewPlay(world, c.controller)
	if random.IntN(2) == 0 {
		c.watch = watchFor(c.controller, c.Play)
	}
	if random.IntN(2) == 0 {
		c.beginHooked()
	}
	for range 6 {
		c.edit()
	}
	return c
}

// run plays until the end, or until the first problem.
func (c *chaos) run() string {
	for range stepsPerSeed {
		c.steps++
		c.step()
		if problem := c.problem(); problem != "" {
			return problem
		}
	}
	return c.calm()
}

// problem is the first invariant that was broken.
func (c *chaos) problem() string {
	if len(c.Breaches()) > 0 {
		return c.Breaches()[0].String()
	}
	return c.controller.overtaken
}

func (c *chaos) step() {
	switch n := c.rand.IntN(100); {
	case n < 40:
		c.wake()
	case n < 82:
		if steps := c.Steps(); len(steps) > 0 {
			c.TakeStep(steps[c.rand.IntN(len(steps))])
		} else {
			c.wake()
		}
	case n < 87:
		c.Pause(seconds(1 + c.rand.IntN(4)))
	case n < 90:
		c.edit()
	case n < 95:
		c.serveHooks()
	default:
		c.meddle()
	}
}

// wake lets the controllers make a pass: at will, or only when something wakes them.
func (c *chaos) wake() {
	if c.IsDue() {
		c.pass()
	}
}

// meddle lets somebody or something touch a single Pod.
func (c *chaos) meddle() {
	all := c.Pods()
	if len(all) == 0 {
		return
	}
	pod := all[c.rand.IntN(len(all))]
	switch c.rand.IntN(13) {
	case 9:
		c.Restart(pod)
	case 10, 11, 12:
		c.meddleWithOwner(pod)
	case 5:
		key, value := c.one("batch", "role"), c.one("1", "2", "x-3")
		c.Script.Tell("somebody", "labels %s %s=%s", pod.Name, key, value)
		c.Edit(pod.Name, func(p *corev1.Pod) { p.Labels[key] = value })
	case 8:
		if all := c.Claims(c.controller.set.UID); len(all) > 0 {
			claim := all[c.rand.IntN(len(all))].Name
			c.Script.Tell("somebody", "deletes claim %s", claim)
			c.DeleteClaim(claim)
		}
	case 0:
		c.Script.Tell("somebody", "deletes %s", pod.Name)
		c.DeletePod(pod.Name)
	case 1:
		c.Falter(pod)
	case 4:
		if pod.DeletionTimestamp == nil && pod.Spec.NodeName != "" && c.rand.IntN(2) == 0 {
			c.Evict(pod.Name)
		}
	case 2:
		c.Script.Tell("somebody", "marks %s for deletion", pod.Name)
		c.Edit(pod.Name, func(p *corev1.Pod) { p.Labels[kruisev1beta1.SpecifiedDeleteKey] = "true" })
	case 3:
		key := c.one(pub.InPlaceUpdateStateKey, pub.InPlaceUpdateGraceKey)
		if pod.Labels[pub.LifecycleStateKey] == string(pub.LifecycleStateUpdating) {
			// NOTE: what a running update has to wait for is lost with its state: a story of its own tells how that ends.
			key = pub.InPlaceUpdateGraceKey
		}
		garbage := c.one("{", "[]", "7")
		c.Script.Tell("somebody", "writes garbage into %s of %s", key, pod.Name)
		c.Edit(pod.Name, func(p *corev1.Pod) { p.Annotations[key] = garbage })
	case 6:
		c.holdForAnother(pod)
	default:
		c.toggleHook(pod)
	}
}

// edit changes the spec to another legal one.
func (c *chaos) edit() {
	c.controller.Edit(func(set *kruisev1beta1.CloneSet) {
		c.Script.Tell("user", "%s", c.change(&builder{set}))
		legalize(set)
	})
}

// meddleWithOwner copies a Pod, takes one out of the set or puts it back, takes its owner away, or ends a copy.
func (c *chaos) meddleWithOwner(pod *corev1.Pod) {
	if c.lag != nil {
		// NOTE: the hands claim what their caches show; here it is claimed in the world.
		return
	}
	strangers := c.Strangers()
	switch n := c.rand.IntN(5); {
	case n == 0 && pod.Status.Phase != corev1.PodFailed && pod.DeletionTimestamp == nil && len(strangers) < 3:
		c.copies++
		c.Copy(pod.Name, fmt.Sprintf("debug-%d", c.copies))
	case n == 1:
		c.Script.Tell("somebody", "takes %s out of the set", pod.Name)
		c.Edit(pod.Name, func(p *corev1.Pod) { p.Labels["app"] = "looked-at" })
	case n == 2:
		c.Script.Tell("somebody", "takes the owner of %s away", pod.Name)
		c.Edit(pod.Name, func(p *corev1.Pod) { p.OwnerReferences = nil })
	case len(strangers) > 0:
		stranger := strangers[c.rand.IntN(len(strangers))]
		if n == 3 {
			c.Script.Tell("somebody", "deletes %s", stranger.Name)
			c.DeletePod(stranger.Name)
			return
		}
		c.Script.Tell("somebody", "puts %s back", stranger.Name)
		c.Edit(stranger.Name, func(p *corev1.Pod) { p.Labels["app"] = "web" })
	}
}

func (c *chaos) change(b *builder) string {
	switch c.rand.IntN(23) {
	case 15:
		return c.changeOrder(b)
	case 16:
		return c.changeVolumes(b)
	case 0, 1:
		n := c.rand.IntN(9)
		b.Replicas(int32(n))
		return fmt.Sprintf("scales to %d", n)
	case 2, 3, 4:
		image := c.one("app:v1", "app:v2", "app:v3", "app:v4", "app:v5", "app:gone", "app:bad")
		b.Image(image)
		return "sets the image to " + image
	case 5:
		b.set.Spec.Template.Spec.Containers[1].Image = c.one("proxy:v1", "proxy:v2")
		return "sets the image of the sidecar to " + b.set.Spec.Template.Spec.Containers[1].Image
	case 6:
		return c.changeTemplate(b)
	case 7, 8:
		return c.changePolicy(b)
	case 9:
		value := c.one("0", "1", "2", "5", "20%", "33.3%", "50%", "90%", "99.5%", "100%")
		b.Partition(value)
		return "sets the partition to " + value
	case 10:
		value := c.one("0", "1", "2", "20%", "50%", "100%")
		b.MaxUnavailable(value)
		return "sets maxUnavailable to " + value
	case 11:
		value := c.one("0", "1", "2", "30%")
		b.MaxSurge(value)
		return "sets maxSurge to " + value
	case 12:
		return c.changeScaling(b)
	case 17, 18, 19, 20, 21, 22:
		return c.changeParts(b)
	default:
		return c.changeTiming(b)
	}
}

// changeOrder changes which Pods are updated first.
func (c *chaos) changeOrder(b *builder) string {
	switch c.rand.IntN(4) {
	case 0:
		b.rolling().PriorityStrategy, b.rolling().ScatterStrategy = nil, nil
		return "wants no order"
	case 1:
		b.rolling().PriorityStrategy = nil
		b.Weight(int32(c.rand.IntN(101)), "role", "1").Weight(int32(c.rand.IntN(101)), "batch", "2")
		return "orders by weight"
	case 2:
		b.OrderedBy(c.one("batch", "role"))
		return "orders by " + b.rolling().PriorityStrategy.OrderPriority[0].OrderedKey
	default:
		b.rolling().ScatterStrategy = nil
		b.Scatter("role", "1").Scatter("batch", "2")
		return "scatters role=1 and batch=2"
	}
}

func (c *chaos) one(values ...string) string { return values[c.rand.IntN(len(values))] }

// changeTemplate changes metadata, which can be done in place, or the environment, which cannot.
func (c *chaos) changeTemplate(b *builder) string {
	value := c.one("one", "two")
	if c.rand.IntN(2) == 0 {
		b.set.Spec.Template.Labels = maps.Clone(b.set.Spec.Template.Labels)
		b.set.Spec.Template.Labels["tier"] = value
		return "sets the label tier of the template to " + value
	}
	c.setMode(b, value)
	return "sets the environment variable MODE to " + value
}

func (c *chaos) changePolicy(b *builder) string {
	rolling := b.rolling()
	switch c.rand.IntN(8) {
	case 0, 1:
		rolling.PodUpdatePolicy = kruisev1beta1.RecreatePodUpdatePolicyType
	case 2, 3, 4:
		b.InPlaceIfPossible()
	case 5:
		b.InPlaceOnly()
	case 6:
		b.set.Spec.UpdateStrategy.Type = kruisev1beta1.OnDeleteCloneSetUpdateStrategyType
		return "sets the type to OnDelete"
	default:
		b.set.Spec.UpdateStrategy.Type = kruisev1beta1.RollingUpdateCloneSetUpdateStrategyType
		return "sets the type to RollingUpdate"
	}
	return "sets the policy to " + string(rolling.PodUpdatePolicy)
}

// changeScaling changes how Pods are added and removed, and what is kept of them.
func (c *chaos) changeScaling(b *builder) string {
	scaling := &b.set.Spec.ScaleStrategy
	switch c.rand.IntN(4) {
	case 0:
		scaling.ExcludePreparingDelete = !scaling.ExcludePreparingDelete
		return fmt.Sprintf("sets excludePreparingDelete to %t", scaling.ExcludePreparingDelete)
	case 1:
		value := c.one("1", "3", "50%")
		scaling.MaxUnavailable = numberOrPart(value)
		return "sets scaleStrategy.maxUnavailable to " + value
	case 2:
		n := int32(c.rand.IntN(3))
		b.RevisionHistoryLimit(n)
		return fmt.Sprintf("sets revisionHistoryLimit to %d", n)
	default:
		scaling.PodsToDelete = nil
		if all := c.Pods(); len(all) > 0 {
			scaling.PodsToDelete = []string{all[c.rand.IntN(len(all))].Name, "web-unknown"}
		}
		return fmt.Sprintf("sets podsToDelete to %v", scaling.PodsToDelete)
	}
}

func (c *chaos) changeTiming(b *builder) string {
	switch c.rand.IntN(5) {
	case 0:
		n := int32(5 * c.rand.IntN(3))
		b.MinReadySeconds(n)
		return fmt.Sprintf("sets minReadySeconds to %d", n)
	case 1:
		n := int32(3 * c.rand.IntN(3))
		b.GracePeriodSeconds(n)
		return fmt.Sprintf("sets gracePeriodSeconds to %d", n)
	case 2:
		deadline := int32(20)
		b.set.Spec.ProgressDeadlineSeconds = &deadline
		return fmt.Sprintf("sets progressDeadlineSeconds to %d", deadline)
	case 3:
		b.rolling().Paused = !b.rolling().Paused
		return fmt.Sprintf("sets paused to %t", b.rolling().Paused)
	default:
		return c.changeHooks(b)
	}
}

// legalize keeps the spec within what the schema lets in.
func legalize(set *kruisev1beta1.CloneSet) {
	rolling := set.Spec.UpdateStrategy.RollingUpdate
	isZero := func(v *intstr.IntOrString) bool { return v == nil || v.String() == "0" }
	if rolling.PodUpdatePolicy == kruisev1beta1.InPlaceOnlyPodUpdatePolicyType {
		rolling.MaxSurge = nil
	}
	if rolling.MaxUnavailable != nil && isZero(rolling.MaxUnavailable) && isZero(rolling.MaxSurge) {
		rolling.MaxUnavailable = nil
	}
}
