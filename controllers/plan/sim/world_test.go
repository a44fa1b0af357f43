// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/claims"
	"github.com/keelson/keelson/controllers/plan/sim"
)

func perform(t *testing.T, w *sim.World, actions ...plan.Action) plan.Outcome {
	t.Helper()
	outcome, err := w.Perform(plan.Decision{Actions: actions})
	require.NoError(t, err)
	return outcome
}

func reasons(o plan.Outcome) []plan.DeferralReason {
	var all []plan.DeferralReason
	for _, d := range o.Deferred {
		all = append(all, d.Reason)
	}
	return all
}

func TestHands(t *testing.T) {
	t.Run("creations go in batches of 1, 2, 4 and the first failing batch defers the rest", func(t *testing.T) {
		w := sim.NewWorld()
		w.Inject(sim.None, sim.Refusal)
		var actions []plan.Action
		for _, id := range w.FreshIDs(6) {
			actions = append(actions, create(makePod("toy-"+id, "app:v1")))
		}
		outcome := perform(t, w, actions...)
		assert.Len(t, outcome.Done, 2)
		assert.Len(t, outcome.Failures, 1)
		assert.Len(t, outcome.Deferred, 3)
	})
	t.Run("a failure defers the later steps", func(t *testing.T) {
		play, _ := running(t, 2)
		first, second := remove(play.Pod("toy-a")), remove(play.Pod("toy-b"))
		second.Step = 1
		play.Inject(sim.Refusal)
		outcome := perform(t, play.World, second, first)
		assert.Len(t, outcome.Failures, 1)
		assert.Len(t, outcome.Deferred, 1)
	})
	t.Run("a Pod that has been written to, is gone or exists already is overtaken", func(t *testing.T) {
		play, _ := running(t, 2)
		old, gone := play.Pod("toy-a"), play.Pod("toy-b")
		play.Edit("toy-a", func(p *corev1.Pod) { p.Labels["new"] = "yes" })
		play.DeletePod("toy-b")
		require.True(t, play.Take("kubelet remove toy-b"))
		taken := create(makePod("toy-a", "app:v1"))
		taken.IfExists = plan.ExistsDefers
		outcome := perform(t, play.World, patch(old, `{"metadata":{"labels":{"x":"y"}}}`), remove(gone), taken)
		assert.Equal(t, []plan.DeferralReason{plan.Superseded, plan.ObjectGone, plan.NameTaken}, reasons(outcome))
	})
	t.Run("a name that is taken is a failure unless the plan says otherwise", func(t *testing.T) {
		play, _ := running(t, 1)
		outcome := perform(t, play.World, create(makePod("toy-a", "app:v1")))
		assert.Len(t, outcome.Failures, 1)
	})
	t.Run("a deletion that is locked is not made on anything newer", func(t *testing.T) {
		play, _ := running(t, 1)
		a := remove(play.Pod("toy-a"))
		a.Locked = true
		play.Edit("toy-a", func(p *corev1.Pod) { p.Labels["hook"] = "wait" })
		assert.Equal(t, []plan.DeferralReason{plan.Superseded}, reasons(perform(t, play.World, a)))
		assert.Nil(t, play.Pod("toy-a").DeletionTimestamp)
		a.Object = play.Pod("toy-a")
		assert.Len(t, perform(t, play.World, a).Done, 1)
	})
	t.Run("a Pod of the same name with another UID is not deleted", func(t *testing.T) {
		play, _ := running(t, 1)
		other := play.Pod("toy-a").DeepCopy()
		other.UID = "other"
		assert.Len(t, perform(t, play.World, remove(other)).Deferred, 1)
		assert.Nil(t, play.Pod("toy-a").DeletionTimestamp)
	})
	t.Run("killed between two writes", func(t *testing.T) {
		play, _ := running(t, 1)
		play.Inject(sim.None, sim.Kill)
		_, err := play.Perform(plan.Decision{Actions: []plan.Action{
			patch(play.Pod("toy-a"), `{"metadata":{"labels":{"first":"yes"}}}`, `{"metadata":{"labels":{"second":"yes"}}}`),
		}})
		require.Error(t, err)
		assert.Contains(t, play.Pod("toy-a").Labels, "first")
		assert.NotContains(t, play.Pod("toy-a").Labels, "second")
	})
	t.Run("a lost answer has written", func(t *testing.T) {
		play, _ := running(t, 1)
		play.Inject(sim.LostAnswer)
		outcome := perform(t, play.World, patch(play.Pod("toy-a"), `{"metadata":{"labels":{"x":"y"}}}`))
		assert.Len(t, outcome.Failures, 1)
		assert.Contains(t, play.Pod("toy-a").Labels, "x")
	})
}

func TestServer(t *testing.T) {
	t.Run("a write to the status changes status and metadata and nothing else", func(t *testing.T) {
		play, _ := running(t, 1)
		perform(t, play.World, patchStatus(play.Pod("toy-a"),
			`{"metadata":{"labels":{"x":"y"}},"spec":{"containers":[{"name":"main","image":"app:v9"}]},"status":{"message":"hi"}}`))
		pod := play.Pod("toy-a")
		assert.Equal(t, []string{"y", "app:v1", "hi"}, []string{pod.Labels["x"], pod.Spec.Containers[0].Image, pod.Status.Message})
	})
	t.Run("a write to the object leaves the status alone", func(t *testing.T) {
		play, _ := running(t, 1)
		perform(t, play.World, patch(play.Pod("toy-a"), `{"spec":{"containers":[{"name":"main","image":"app:v9"}]},"status":{"message":"hi"}}`))
		pod := play.Pod("toy-a")
		assert.Equal(t, []string{"app:v9", ""}, []string{pod.Spec.Containers[0].Image, pod.Status.Message})
	})
	t.Run("what cannot change is refused", func(t *testing.T) {
		play, _ := running(t, 1)
		outcome := perform(t, play.World, patch(play.Pod("toy-a"), `{"spec":{"nodeName":"elsewhere"}}`))
		require.Len(t, outcome.Failures, 1)
		assert.ErrorContains(t, outcome.Failures[0].Err, "may not change fields other than images")
	})
	t.Run("a write gives a new version and leaves the old object as it was", func(t *testing.T) {
		play, _ := running(t, 1)
		old := play.Pod("toy-a")
		perform(t, play.World, patch(old, `{"metadata":{"labels":{"x":"y"}}}`))
		assert.NotContains(t, old.Labels, "x")
		assert.NotEqual(t, old.ResourceVersion, play.Pod("toy-a").ResourceVersion)
	})
}

func TestKubelet(t *testing.T) {
	t.Run("a new image restarts that container alone", func(t *testing.T) {
		play, _ := running(t, 1)
		old := play.Pod("toy-a").Status.ContainerStatuses
		play.Edit("toy-a", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "app:v2" })
		require.True(t, play.Settle(50))
		now := play.Pod("toy-a").Status.ContainerStatuses
		assert.EqualValues(t, []int32{1, 0}, []int32{now[0].RestartCount, now[1].RestartCount})
		assert.NotEqual(t, old[0].ContainerID, now[0].ContainerID)
		assert.NotEqual(t, old[0].ImageID, now[0].ImageID)
		assert.Equal(t, old[1], now[1])
	})
	t.Run("an image that is missing leaves the status of the container before", func(t *testing.T) {
		play, _ := running(t, 1)
		play.Images["app:gone"] = sim.Image{Missing: true}
		play.Edit("toy-a", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "app:gone" })
		require.True(t, play.Settle(50))
		pod := play.Pod("toy-a")
		assert.Equal(t, "ImagePullBackOff", pod.Status.ContainerStatuses[0].State.Waiting.Reason)
		assert.Equal(t, "app:v1", pod.Status.ContainerStatuses[0].Image)
		assert.Equal(t, corev1.PodRunning, pod.Status.Phase, "a container that ran before does not make the Pod pending")
		assert.Empty(t, play.Runs(pod, "main"))
	})
	t.Run("a new Pod with a missing image stays pending", func(t *testing.T) {
		w := sim.NewWorld()
		w.Images["app:gone"] = sim.Image{Missing: true}
		perform(t, w, create(makePod("toy-a", "app:gone")))
		require.True(t, sim.NewPlay(w, &toy{replicas: 1}).Settle(50))
		assert.Equal(t, corev1.PodPending, w.Pod("toy-a").Status.Phase)
	})
	t.Run("a slow kubelet starts what was wanted when it stopped the container", func(t *testing.T) {
		play, _ := running(t, 1)
		play.Kubelets = sim.Slow
		set := func(image string) { play.Edit("toy-a", func(p *corev1.Pod) { p.Spec.Containers[0].Image = image }) }
		set("app:v2")
		require.True(t, play.Take("kubelet stop toy-a/main"))
		set("app:v3")
		require.True(t, play.Take("kubelet start toy-a/main"))
		assert.Equal(t, "app:v2", play.Runs(play.Pod("toy-a"), "main"))
		require.True(t, play.Settle(50))
		assert.Equal(t, "app:v3", play.Runs(play.Pod("toy-a"), "main"))
	})
	t.Run("a Pod is ready when its containers and its gates are", func(t *testing.T) {
		play, c := running(t, 1)
		perform(t, play.World, patchStatus(play.Pod("toy-a"), `{"status":{"conditions":[{"type":"InPlaceUpdateReady","status":"False"}]}}`))
		require.True(t, play.Take("kubelet sync toy-a"))
		assert.Equal(t, 0, c.promise.Tally(play.Pods(), play.Now).Available)
		perform(t, play.World, patchStatus(play.Pod("toy-a"), gateOpen))
		require.True(t, play.Take("kubelet sync toy-a"))
		c.promise.MinReadySeconds = 10
		assert.Equal(t, 0, c.promise.Tally(play.Pods(), play.Now).Available)
		play.Wait(10 * time.Second)
		assert.Equal(t, 1, c.promise.Tally(play.Pods(), play.Now).Available)
	})
	t.Run("a Pod without a node goes at once, another when the kubelet and its finalizers let it", func(t *testing.T) {
		play, _ := running(t, 1)
		perform(t, play.World, create(makePod("toy-x", "app:v1")))
		play.DeletePod("toy-x")
		assert.Nil(t, play.Pod("toy-x"))
		play.Edit("toy-a", func(p *corev1.Pod) { p.Finalizers = []string{"x/y"} })
		play.DeletePod("toy-a")
		assert.False(t, play.Take("kubelet remove toy-a"))
		play.Edit("toy-a", func(p *corev1.Pod) { p.Finalizers = nil })
		assert.True(t, play.Take("kubelet remove toy-a"))
		assert.Nil(t, play.Pod("toy-a"))
	})
}

func TestClaims(t *testing.T) {
	names := func(w *sim.World) []string {
		var all []string
		for _, c := range w.Claims("toy-0") {
			all = append(all, c.Name)
		}
		return all
	}
	// given is a world with the Pod toy-x on a node, and its claim.
	given := func(t *testing.T) *sim.Play {
		play, _ := running(t, 0)
		claimed(play)
		require.True(t, play.Settle(50))
		require.Equal(t, []string{"data-toy-x"}, names(play.World))
		return play
	}
	t.Run("a claim that is refused keeps its Pod away", func(t *testing.T) {
		w := sim.NewWorld()
		a := create(withClaim(makePod("toy-x", "app:v1")))
		a.First = []plan.Action{{Verb: plan.Create, Object: makeClaim("data-toy-x"), IfExists: plan.ExistsSuffices}}
		w.Inject(sim.Refusal)
		outcome := perform(t, w, a)
		assert.Len(t, outcome.Failures, 1)
		assert.Equal(t, []plan.Deferral{{Action: a, Reason: plan.NotBegun, Message: "what comes first did not succeed"}}, outcome.Deferred)
		w.Inject(sim.LostAnswer)
		assert.Len(t, perform(t, w, a).Failures, 1)
		assert.Len(t, perform(t, w, a).Done, 1, "a claim that is there counts as made")
		assert.NotNil(t, w.Pod("toy-x"))
	})
	t.Run("a Pod without its claim finds no node", func(t *testing.T) {
		w := sim.NewWorld()
		perform(t, w, create(withClaim(makePod("toy-x", "app:v1"))))
		assert.Empty(t, w.Steps())
	})
	t.Run("a claim is protected while a Pod on a node uses it", func(t *testing.T) {
		play := given(t)
		play.DeleteClaim("data-toy-x")
		assert.NotNil(t, play.Claim("data-toy-x").DeletionTimestamp)
		play.DeletePod("toy-x")
		require.True(t, play.Take("kubelet remove toy-x"))
		assert.Nil(t, play.Claim("data-toy-x"))
	})
	t.Run("a claim goes with the Pod that owns it", func(t *testing.T) {
		play := given(t)
		perform(t, play.World, plan.Action{Verb: plan.Patch, Object: play.Claim("data-toy-x"), Changes: []plan.Change{
			claims.HandOver("toy-0", play.Pod("toy-x")),
		}})
		assert.Empty(t, names(play.World), "its old owner controls it no more")
		assert.NotNil(t, play.Claim("data-toy-x"))
		play.DeletePod("toy-x")
		require.True(t, play.Take("kubelet remove toy-x"))
		assert.Nil(t, play.Claim("data-toy-x"))
	})
	t.Run("what comes then waits for its action", func(t *testing.T) {
		play := given(t)
		a := remove(play.Pod("toy-x"))
		a.Then = []plan.Action{removeClaim(play.World)}
		play.Inject(sim.Refusal)
		assert.Len(t, perform(t, play.World, a).Deferred, 1)
		assert.Nil(t, play.Claim("data-toy-x").DeletionTimestamp)
		assert.Len(t, perform(t, play.World, a).Done, 2)
		assert.NotNil(t, play.Claim("data-toy-x").DeletionTimestamp)
	})
	t.Run("a claim of the same name with another UID is not touched", func(t *testing.T) {
		play := given(t)
		other := play.Claim("data-toy-x").DeepCopy()
		other.UID = "other"
		assert.Len(t, perform(t, play.World, plan.Action{Verb: plan.Delete, Object: other}).Deferred, 1)
		assert.Nil(t, play.Claim("data-toy-x").DeletionTimestamp)
	})
}

func TestChanceIsAnInput(t *testing.T) {
	play := func(seed uint64) string {
		w := sim.NewWorld()
		w.Script, w.Chance = &sim.Script{}, rand.New(rand.NewPCG(seed, 1))
		w.Faults = sim.Faults{sim.Conflict: 100, sim.Refusal: 100, sim.LostAnswer: 100, sim.Kill: 100}
		sim.NewPlay(w, &toy{replicas: 8, image: "app:v1"}).Settle(30)
		return w.Script.String()
	}
	assert.Equal(t, play(1), play(1), "the same seed tells the same story")
	assert.NotEqual(t, play(1), play(2))
}

func TestFreshIDsAreNeverUsedTwice(t *testing.T) {
	w := sim.NewWorld()
	assert.Equal(t, []string{"a", "b"}, w.FreshIDs(2))
	perform(t, w, create(makePod("toy-b", "app:v1")))
	assert.Equal(t, []string{"c"}, w.FreshIDs(1))
	ids := w.FreshIDs(30)
	assert.Equal(t, "aa", ids[24])
	assert.Equal(t, "unknown revision x", w.Alias("x"))
}
