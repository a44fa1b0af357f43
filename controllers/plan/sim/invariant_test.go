// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// TestInvariantsCatch lets a toy do once what it must not, in a world with three Pods that serve.
func TestInvariantsCatch(t *testing.T) {
	hook := &pub.LifecycleHook{LabelsHandler: map[string]string{"held": "yes"}}
	withGate := func(pod *corev1.Pod) {
		pod.Spec.ReadinessGates = append(pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: pub.KruisePodReady})
	}
	hold := func(pod *corev1.Pod) { pod.Labels["held"] = "yes" }
	caught := map[string]bool{}
	for sentence, tc := range map[string]struct {
		promise sim.Promise
		before  func(p *sim.Play)
		actions func(w *sim.World) []plan.Action
		want    string
	}{
		"taking a Pod when none may be missing": {
			actions: func(w *sim.World) []plan.Action { return []plan.Action{patchStatus(w.Pod("toy-a"), gateClosed)} },
			want:    sim.AvailableFloor,
		},
		"taking one more Pod when too few serve for another reason": {
			promise: sim.Promise{MaxUnavailable: 1},
			before:  func(p *sim.Play) { p.Falter(p.Pod("toy-b")) },
			actions: func(w *sim.World) []plan.Action { return []plan.Action{patchStatus(w.Pod("toy-a"), gateClosed)} },
			want:    sim.AvailableFloor,
		},
		"creating a Pod too many": {
			promise: sim.Promise{MaxSurge: 1},
			actions: func(*sim.World) []plan.Action {
				return []plan.Action{create(makePod("toy-x", "app:v1")), create(makePod("toy-y", "app:v1"))}
			},
			want: sim.SurgeCeiling,
		},
		"deleting a Pod that is not too many": {
			promise: sim.Promise{MaxUnavailable: 1},
			actions: func(w *sim.World) []plan.Action { return []plan.Action{remove(w.Pod("toy-a"))} },
			want:    sim.SurplusOnly,
		},
		"updating more than the partition lets": {
			promise: sim.Promise{MaxUnavailable: 3, Partition: 3, UpdateRevision: "toy-2", CurrentRevision: "toy-1"},
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"controller-revision-hash":"toy-2"}}}`)}
			},
			want: sim.PartitionKept,
		},
		"deleting a Pod that is held": {
			promise: sim.Promise{MaxUnavailable: 1, Lifecycle: &pub.Lifecycle{PreDelete: hook}, IsNamed: func(*corev1.Pod) bool { return true }},
			before:  func(p *sim.Play) { p.Edit("toy-a", hold) },
			actions: func(w *sim.World) []plan.Action { return []plan.Action{remove(w.Pod("toy-a"))} },
			want:    sim.HooksRespected,
		},
		"updating a Pod that is held": {
			promise: sim.Promise{MaxUnavailable: 1, Lifecycle: &pub.Lifecycle{InPlaceUpdate: hook}},
			before:  func(p *sim.Play) { p.Edit("toy-a", hold) },
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"controller-revision-hash":"toy-2"}}}`)}
			},
			want: sim.HooksRespected,
		},
		"giving a Pod another revision while its update is held back": {
			before: func(p *sim.Play) {
				p.Edit("toy-a", func(pod *corev1.Pod) { pod.Annotations = map[string]string{pub.InPlaceUpdateGraceKey: "{}"} })
			},
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"controller-revision-hash":"toy-2"}}}`)}
			},
			want: sim.OneChangeAtOnce,
		},
		"changing an image under load": {
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"spec":{"containers":[{"name":"main","image":"app:v2"}]}}`)}
			},
			want: sim.DrainedFirst,
		},
		"calling a Pod ready that runs something else": {
			before: func(p *sim.Play) {
				p.Edit("toy-a", func(pod *corev1.Pod) {
					pod.Spec.Containers[0].Image = "app:v2"
					pod.Status.Conditions = nil
				})
			},
			actions: func(w *sim.World) []plan.Action { return []plan.Action{patchStatus(w.Pod("toy-a"), gateOpen)} },
			want:    sim.ReadyWhenFollowed,
		},
		"creating a Pod whose claim is not there": {
			promise: sim.Promise{MaxSurge: 1},
			actions: func(*sim.World) []plan.Action { return []plan.Action{create(withClaim(makePod("toy-x", "app:v1")))} },
			want:    sim.VolumesFirst,
		},
		"creating a Pod with the data of another": {
			promise: sim.Promise{MaxSurge: 1},
			before: func(p *sim.Play) {
				claimed(p)
				p.DeletePod("toy-x")
			},
			actions: func(*sim.World) []plan.Action { return []plan.Action{create(withClaim(makePod("toy-x", "app:v1")))} },
			want:    sim.VolumesFresh,
		},
		"deleting a claim that a Pod uses": {
			promise: sim.Promise{MaxSurge: 1},
			before:  claimed,
			actions: func(w *sim.World) []plan.Action { return []plan.Action{removeClaim(w)} },
			want:    sim.VolumesKept,
		},
		"deleting a claim that is kept for reuse": {
			promise: sim.Promise{MaxSurge: 1, ReuseVolumes: true},
			before: func(p *sim.Play) {
				claimed(p)
				p.DeletePod("toy-x")
			},
			actions: func(w *sim.World) []plan.Action { return []plan.Action{removeClaim(w)} },
			want:    sim.VolumesKept,
		},
		"handing a claim to a Pod that counts": {
			promise: sim.Promise{MaxSurge: 1},
			before:  claimed,
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{{Verb: plan.Patch, Object: w.Claim("data-toy-x"), Changes: []plan.Change{{Patch: []byte(`{"metadata":{"ownerReferences":null}}`)}}}}
			},
			want: sim.VolumesKept,
		},
		"preparing a deletion without the mark that the hook asks for": {
			promise: sim.Promise{MaxUnavailable: 3, Lifecycle: &pub.Lifecycle{PreDelete: &pub.LifecycleHook{MarkPodNotReady: true}}, IsNamed: func(*corev1.Pod) bool { return true }},
			before:  func(p *sim.Play) { p.Edit("toy-a", withGate) },
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"lifecycle.apps.kruise.io/state":"PreparingDelete"}}}`)}
			},
			want: sim.MarkedWhileHeld,
		},
		"letting go of a Pod that somebody else holds not ready": {
			before: func(p *sim.Play) {
				p.Edit("toy-a", withGate)
				p.Edit("toy-a", func(pod *corev1.Pod) {
					pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
						Type: pub.KruisePodReady, Status: corev1.ConditionFalse, Message: `[{"userAgent":"Another","key":"x"}]`,
					})
				})
			},
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patchStatus(w.Pod("toy-a"), `{"status":{"conditions":[{"type":"KruisePodReady","status":"True","message":"[]"}]}}`)}
			},
			want: sim.KeysOfOthersKept,
		},
		"writing what is there already": {
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"controller-revision-hash":"toy-1"}}}`)}
			},
			want: sim.NoIdleWrite,
		},
		"deleting a claim that a stranger lives on": {
			before: func(p *sim.Play) {
				claimed(p)
				p.Own("toy-x", nil)
			},
			actions: func(w *sim.World) []plan.Action { return []plan.Action{removeClaim(w)} },
			want:    sim.VolumesKept,
		},
		"calling a Pod Normal that is not what its revision says": {
			before: func(p *sim.Play) { p.AddRevision(makeRevision("app:v2")) },
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"lifecycle.apps.kruise.io/state":"Normal"}}}`)}
			},
			want: sim.TemplateKept,
		},
		"calling a Pod Normal that has another environment than its revision says": {
			before: func(p *sim.Play) {
				p.AddRevision(makeRevision("app:v1"))
				p.Edit("toy-a", func(pod *corev1.Pod) { pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "MODE", Value: "one"}} })
			},
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"lifecycle.apps.kruise.io/state":"Normal"}}}`)}
			},
			want: sim.TemplateKept,
		},
		"calling a Pod updated before it has its resources": {
			before: func(p *sim.Play) {
				p.Edit("toy-a", func(pod *corev1.Pod) {
					pod.Labels[pub.LifecycleStateKey] = string(pub.LifecycleStateUpdating)
					pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
				})
			},
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"lifecycle.apps.kruise.io/state":"Updated"}}}`)}
			},
			want: sim.DoneWhenResized,
		},
		"changing a container together with one that launches before it": {
			before: func(p *sim.Play) {
				p.Edit("toy-a", func(pod *corev1.Pod) {
					pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: pub.ContainerLaunchPriorityEnv, Value: "1"}}
					pod.Status.Conditions = nil
				})
			},
			actions: func(w *sim.World) []plan.Action {
				return []plan.Action{patch(w.Pod("toy-a"), `{"spec":{"containers":[{"name":"main","image":"app:v2"},{"name":"side","image":"side:v2"}]}}`)}
			},
			want: sim.InLaunchOrder,
		},
		"deleting a claim whose data a new Pod has taken over": {
			promise: sim.Promise{MaxSurge: 1, ReuseVolumes: true, IsNamed: func(pod *corev1.Pod) bool { return pod.Name == "toy-x" }},
			before: func(p *sim.Play) {
				claimed(p)
				dismiss(p)
				if _, err := p.Perform(plan.Decision{Actions: []plan.Action{create(withClaim(makePod("toy-x", "app:v1")))}}); err != nil {
					panic(err)
				}
				p.DeletePod("toy-x")
			},
			actions: func(w *sim.World) []plan.Action { return []plan.Action{removeClaim(w)} },
			want:    sim.VolumesKept,
		},
		"two actions for one Pod": {
			promise: sim.Promise{MaxUnavailable: 3},
			actions: func(w *sim.World) []plan.Action {
				a := patch(w.Pod("toy-a"), `{"metadata":{"labels":{"x":"y"}}}`)
				return []plan.Action{a, a}
			},
			want: sim.OneActionPerPod,
		},
	} {
		caught[tc.want] = true
		t.Run(sentence, func(t *testing.T) {
			play, c := running(t, 3)
			if tc.before != nil {
				tc.before(play)
			}
			c.promise = tc.promise
			c.plan = func(w *sim.World) plan.Decision { return plan.Decision{Actions: tc.actions(w)} }
			play.Reconcile()
			assert.Equal(t, []string{tc.want}, names(play.Breaches()), "%v", play.Breaches())

			play, c = running(t, 3)
			if tc.before != nil {
				tc.before(play)
			}
			c.promise, play.Allowed = tc.promise, []string{tc.want}
			c.plan = func(w *sim.World) plan.Decision { return plan.Decision{Actions: tc.actions(w)} }
			play.Reconcile()
			assert.Empty(t, play.Breaches(), "a breach that is declared is accepted")
		})
	}
	for _, invariant := range sim.Invariants() {
		assert.Contains(t, caught, invariant.Name, "a toy breaks each invariant of a write")
	}
}

func TestInvariantsOfDecisions(t *testing.T) {
	t.Run("a plan that says something else each time", func(t *testing.T) {
		play, c := running(t, 1)
		n := 0
		c.plan = func(*sim.World) plan.Decision {
			n++
			return plan.Decision{Wake: plan.Wake{After: time.Duration(n)}}
		}
		play.Reconcile()
		assert.Equal(t, []string{sim.PlanIsPure}, names(play.Breaches()))
	})
	t.Run("a plan that has the same event to tell for ever", func(t *testing.T) {
		play, c := running(t, 1)
		c.plan = func(*sim.World) plan.Decision { return plan.Decision{Events: []plan.Event{{Reason: "Bored"}}} }
		assert.True(t, play.Settle(10))
		assert.Equal(t, []string{sim.RestIsEmpty}, names(play.Breaches()))
	})
	t.Run("a plan that never comes to rest", func(t *testing.T) {
		play, c := running(t, 1)
		c.plan = func(w *sim.World) plan.Decision {
			return plan.Decision{Actions: []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"turn":"`+w.Pod("toy-a").ResourceVersion+`"}}}`)}}
		}
		assert.False(t, play.Settle(50))
		assert.Equal(t, []string{sim.NoLivelock}, names(play.Breaches()))
	})
	t.Run("a plan that nothing comes back to", func(t *testing.T) {
		play, c := running(t, 1)
		c.plan = func(w *sim.World) plan.Decision {
			return plan.Decision{Actions: []plan.Action{patch(w.Pod("toy-a"), `{"metadata":{"labels":{"forgotten":"yes"}}}`)}}
		}
		play.IsWoken = func() bool { return false }
		assert.True(t, play.Settle(10))
		assert.Contains(t, names(play.Breaches()), sim.NoLostWake)
	})
	t.Run("what a kubelet or a user does is no breach", func(t *testing.T) {
		play, _ := running(t, 2)
		play.Falter(play.Pod("toy-a"))
		play.DeletePod("toy-b")
		assert.True(t, play.Settle(100))
		assert.Empty(t, play.Breaches())
		assert.Contains(t, play.Script.String(), "kubelet     finds toy-a/main not ready\n")
		assert.True(t, strings.HasSuffix(play.Script.String(), "\n"))
	})
}

// withClaim gives a Pod a volume.
func withClaim(pod *corev1.Pod) *corev1.Pod {
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-" + pod.Name},
	}}}
	return pod
}

// claimed adds the Pod toy-x, which has a claim and no node yet.
func claimed(p *sim.Play) {
	a := create(withClaim(makePod("toy-x", "app:v1")))
	a.First = []plan.Action{{Verb: plan.Create, Object: makeClaim("data-toy-x")}}
	if _, err := p.Perform(plan.Decision{Actions: []plan.Action{a}}); err != nil {
		panic(err)
	}
}

// dismiss lets the controllers delete the Pod toy-x, which ends at once.
func dismiss(p *sim.Play) {
	if _, err := p.Perform(plan.Decision{Actions: []plan.Action{remove(p.Pod("toy-x"))}}); err != nil {
		panic(err)
	}
}

func removeClaim(w *sim.World) plan.Action {
	return plan.Action{Verb: plan.Delete, Object: w.Claim("data-toy-x")}
}

func names(breaches []sim.Breach) []string {
	var all []string
	for _, b := range breaches {
		all = append(all, b.Invariant)
	}
	return all
}
