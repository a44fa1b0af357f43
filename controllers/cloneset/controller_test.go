// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// TestWiring asks whether watches, indexes, permissions and patches work on a real API server. What is decided is tested without one.
func TestWiring(t *testing.T) {
	w := startWorld(t)
	stop := w.startControllers(t)
	for name, run := range map[string]func(*testing.T, *world){
		"a new set gets its Pods and reports them":                               createsPods,
		"an orphan that was the set's is adopted, a Pod that leaves is released": adoptsAndReleases,
		"a Pod that cannot be released holds up no other":                        cannotRelease,
		"a Pod that is deleted by hand is replaced":                              replacesDeleted,
		"scaling in deletes Pods and waits for their end without standing by":    scalesIn,
		"a new image is brought to the same Pods":                                updatesInPlace,
		"a cache that lags behind makes nobody create a Pod too many":            createsOnce,
		"a Pod that is refused is asked for once, and reported":                  reportsRefusal,
		"in a namespace that is being deleted it waits and does not complain":    endsWithItsNamespace,
		"a Pod comes with its claims and goes with them":                         givesVolumes,
		"a Pod that is deleted by hand comes back with its volume":               reusesVolumes,
		"the claims of a Pod that goes or is let go follow it":                   letsVolumesFollow,
		"garbage in an annotation is healed":                                     healsGarbage,
		"a set that holds nonsense holds up no other":                            survivesNonsense,
		"a hook is asked, marks its Pod, and is asked again":                     asksHooks,
	} {
		t.Run(name, func(t *testing.T) { run(t, w) })
	}
	t.Run("the defaults of Kubernetes are known", func(t *testing.T) { knowsDefaults(t, w) })
	stop()
	t.Run("what OpenKruise left is taken over", func(t *testing.T) { takesOver(t, w) })
	t.Run("a new leader does not do again what the one before did", func(t *testing.T) { takesTheLead(t, w) })
	stop = w.startControllers(t)
	t.Run("a restart of a converged system writes nothing", func(t *testing.T) { restartsQuietly(t, w, stop) })
}

func createsPods(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 5)
	w.bringUp(t, set)

	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	require.Len(t, pods, 5)
	for _, pod := range pods {
		id := pod.Labels[kruisev1beta1.CloneSetInstanceIDKey]
		assert.Equal(t, "web-"+id, pod.Name)
		assert.Equal(t, set.Status.UpdateRevision, pod.Labels["controller-revision-hash"])
		assert.Contains(t, pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: pub.InPlaceUpdateReady})
		assert.Equal(t, corev1.ConditionTrue, conditionOf(&pod, pub.InPlaceUpdateReady))
		assert.Equal(t, string(pub.LifecycleStateNormal), pod.Labels[pub.LifecycleStateKey])
	}
	assert.EqualValues(t, 5, set.Status.AvailableReplicas)
	assert.EqualValues(t, 5, set.Status.UpdatedReadyReplicas)
	assert.Equal(t, "app=web", set.Status.LabelSelector)
	eventually(t, "each Pod has an event of its own", func(ctx context.Context) (bool, string) {
		told := w.events(ctx, set, "SuccessfulCreate")
		return len(told) == 5, fmt.Sprint(told)
	})
	staysAsItIs(t, w, set)
}

// staysAsItIs says that nobody writes to the set, its Pods or its revisions for a while.
func staysAsItIs(t *testing.T, w *world, set *kruisev1beta1.CloneSet) {
	t.Helper()
	before := w.versions(t, set)
	time.Sleep(time.Second)
	assert.Equal(t, before, w.versions(t, set))
}

// versions are those of a set, which is read anew, of its Pods and of the revisions beside it.
func (w *world) versions(t *testing.T, set *kruisev1beta1.CloneSet) map[types.UID]string {
	t.Helper()
	found := map[types.UID]string{}
	for _, pod := range w.mustPods(t, set) {
		found[pod.UID] = pod.ResourceVersion
	}
	for _, revision := range w.revisions(t, set) {
		found[revision.UID] = revision.ResourceVersion
	}
	require.NoError(t, w.Get(t.Context(), client.ObjectKeyFromObject(set), set))
	found[set.UID] = set.ResourceVersion
	return found
}

// events are the messages of the events about a set with a reason, as kubectl describe reads them.
func (w *world) events(ctx context.Context, set *kruisev1beta1.CloneSet, reason string) map[string]bool {
	var list corev1.EventList
	if w.List(ctx, &list, client.InNamespace(set.Namespace)) != nil {
		return nil
	}
	messages := map[string]bool{}
	for _, e := range list.Items {
		if e.InvolvedObject.UID == set.UID && e.Reason == reason {
			messages[e.Message] = true
		}
	}
	return messages
}

// orphanOf is a Pod as a set of the same name left it, which was deleted without its Pods.
func orphanOf(set *kruisev1beta1.CloneSet, id string) *corev1.Pod {
	labels := maps.Clone(set.Spec.Template.Labels)
	labels[kruisev1beta1.CloneSetInstanceIDKey] = id
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: set.Name + "-" + id, Labels: labels}, Spec: set.Spec.Template.Spec}
}

func adoptsAndReleases(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 2)
	require.NoError(t, w.Create(t.Context(), orphanOf(set, "first")))
	copied := orphanOf(set, "first")
	copied.Name = "debug"
	require.NoError(t, w.Create(t.Context(), copied))
	w.playKubelet(t, set.Namespace)
	set.Spec.UpdateStrategy.RollingUpdate.Paused = true
	require.NoError(t, w.Create(t.Context(), set))
	eventually(t, "the orphan counts", func(ctx context.Context) (bool, string) {
		pods, err := w.pods(ctx, set)
		names := map[string]bool{}
		for _, pod := range pods {
			names[pod.Name] = true
		}
		return err == nil && len(pods) == 2 && names["web-first"], fmt.Sprint(names, err)
	})

	late := orphanOf(set, "later")
	late.Finalizers = []string{"test.keelson.io/look"}
	require.NoError(t, w.Create(t.Context(), late))
	eventually(t, "an orphan that comes later is adopted, too", func(ctx context.Context) (bool, string) {
		err := w.Get(ctx, client.ObjectKeyFromObject(late), late)
		return err == nil && metav1.IsControlledBy(late, set), fmt.Sprint(late.OwnerReferences, err)
	})
	require.NoError(t, client.IgnoreNotFound(w.Patch(t.Context(), late, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))))
	eventually(t, "there are as many Pods as wanted", func(ctx context.Context) (bool, string) {
		pods, err := w.pods(ctx, set)
		return err == nil && len(pods) == 2, fmt.Sprint(len(pods), err)
	})

	require.NoError(t, w.Get(t.Context(), client.ObjectKeyFromObject(copied), copied))
	assert.Nil(t, metav1.GetControllerOf(copied), "a copy is left alone, though it has the labels of a Pod of the set")
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	released := &pods[0]
	require.NoError(t, w.Patch(t.Context(), released, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`))))
	eventually(t, "the Pod is released and another stands in", func(ctx context.Context) (bool, string) {
		mine, err := w.pods(ctx, set)
		if err != nil || w.Get(ctx, client.ObjectKeyFromObject(released), released) != nil {
			return false, "reading"
		}
		return len(released.OwnerReferences) == 0 && len(mine) == 2, fmt.Sprint(released.OwnerReferences, len(mine))
	})
}

func replacesDeleted(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 3)
	w.bringUp(t, set)
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	require.NoError(t, w.Delete(t.Context(), &pods[0]))
	eventually(t, "another Pod stands in", func(ctx context.Context) (bool, string) {
		now, err := w.pods(ctx, set)
		if err != nil || len(now) != 3 {
			return false, fmt.Sprint(len(now), err)
		}
		for _, pod := range now {
			if pod.UID == pods[0].UID {
				return false, "the old Pod is still there"
			}
		}
		return w.isReady(set)(ctx)
	})
}

func scalesIn(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 6)
	set.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(600))
	w.bringUp(t, set)

	// A finalizer keeps the Pods that are deleted in place for as long as the test looks: one that waited for their end would never scale in.
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	for i := range pods {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["test.keelson.io/look"]}}`))
		require.NoError(t, w.Patch(t.Context(), &pods[i], patch))
	}
	for _, replicas := range []int{4, 2} {
		require.NoError(t, w.Patch(t.Context(), set, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))))
		eventually(t, fmt.Sprintf("%d Pods are left", replicas), func(ctx context.Context) (bool, string) {
			now, err := w.pods(ctx, set)
			return err == nil && len(now) == replicas, fmt.Sprint(len(now), err)
		})
	}
	for i := range pods {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		require.NoError(t, client.IgnoreNotFound(w.Patch(t.Context(), &pods[i], patch)))
	}
	eventually(t, "the set is ready", w.isReady(set))
}

func updatesInPlace(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 4)
	w.bringUp(t, set)
	before, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	old := set.Status.UpdateRevision

	patch := []byte(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"demo:2"}]`)
	require.NoError(t, w.Patch(t.Context(), set, client.RawPatch(types.JSONPatchType, patch)))
	eventually(t, "the set is ready at the new revision", func(ctx context.Context) (bool, string) {
		ready, last := w.isReady(set)(ctx)
		return ready && set.Status.UpdateRevision != old && set.Status.CurrentRevision == set.Status.UpdateRevision, last
	})
	after, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	assert.Equal(t, uids(before), uids(after), "no Pod was replaced")
	assert.True(t, isInState(after, pub.LifecycleStateNormal))
	for _, pod := range after {
		assert.Equal(t, "demo:2", pod.Spec.Containers[0].Image)
		assert.Equal(t, corev1.ConditionTrue, conditionOf(&pod, pub.InPlaceUpdateReady))
	}
	staysAsItIs(t, w, set)
}

func uids(pods []corev1.Pod) map[types.UID]bool {
	found := map[types.UID]bool{}
	for _, pod := range pods {
		found[pod.UID] = true
	}
	return found
}

// createsOnce scales out at once while a stream of changes to the set makes it run as often as it can, on a cache that lags behind. Of one reason no more
// than ten events are told in a row: there are fewer Pods, so that one too many is told of.
func createsOnce(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 1)
	set.Spec.Template.Labels = map[string]string{"app": "web", lagging: "true"}
	w.bringUp(t, set)
	require.NoError(t, w.Patch(t.Context(), set, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":8}}`))))
	for i := range 60 {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"beat":"%d"}}}`, i)
		require.NoError(t, w.Patch(t.Context(), set, client.RawPatch(types.MergePatchType, patch)))
		time.Sleep(10 * time.Millisecond)
	}
	eventually(t, "the set is ready", func(ctx context.Context) (bool, string) {
		ready, last := w.isReady(set)(ctx)
		return ready && set.Status.AvailableReplicas == 8, last
	})
	eventually(t, "every Pod is told of", func(ctx context.Context) (bool, string) {
		told := w.events(ctx, set, "SuccessfulCreate")
		return len(told) >= 8, fmt.Sprint(told)
	})
	staysAsItIs(t, w, set)
	assert.Len(t, w.events(t.Context(), set, "SuccessfulCreate"), 8, "exactly the wanted Pods were created")
	assert.Empty(t, w.events(t.Context(), set, "SuccessfulDelete"))
}

func endsWithItsNamespace(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 3)
	w.bringUp(t, set)
	// NOTE: nobody ends namespaces here, so that this one stays as it is.
	require.NoError(t, w.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: set.Namespace}}))
	require.NoError(t, w.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(set.Namespace)))
	eventually(t, "the set says why it has no Pods", func(ctx context.Context) (bool, string) {
		if err := w.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return false, err.Error()
		}
		for _, c := range set.Status.Conditions {
			if c.Type == kruisev1beta1.CloneSetConditionReady {
				return set.Status.Replicas == 0 && c.Reason == "NamespaceTerminating", c.Message
			}
		}
		return false, fmt.Sprintf("%+v", set.Status.Conditions)
	})
	staysAsItIs(t, w, set)
	assert.Empty(t, w.complaints.about(set.Namespace))
}

func reportsRefusal(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 8)
	set.Spec.Template.Spec.Containers[0].Name = "Not_A_Name"
	require.NoError(t, w.Create(t.Context(), set))
	eventually(t, "the refusal is in an event and in a condition", func(ctx context.Context) (bool, string) {
		if err := w.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return false, err.Error()
		}
		for _, c := range set.Status.Conditions {
			if c.Type == kruisev1beta1.CloneSetConditionFailedScale && c.Status == corev1.ConditionTrue {
				return len(w.events(ctx, set, "FailedCreate")) > 0, c.Message
			}
		}
		return false, fmt.Sprintf("%+v", set.Status.Conditions)
	})
	// It is when the pass has ended, after its status was written.
	eventually(t, "such an error is logged", func(context.Context) (bool, string) { return len(w.complaints.about(set.Namespace)) > 0, "" })
	staysAsItIs(t, w, set)
	told := w.events(t.Context(), set, "FailedCreate")
	assert.Len(t, told, 1, "the same refusal is told once")
	for message := range told {
		assert.Regexp(t, `^failed to create pod: Pod "web-\w{5}" is invalid: spec\.containers\[0\]\.name.*, pod: {"metadata":{"name":"web-\w{5}",`, message)
	}
	w.playKubelet(t, set.Namespace)
	patch := []byte(`[{"op":"replace","path":"/spec/template/spec/containers/0/name","value":"main"}]`)
	require.NoError(t, w.Patch(t.Context(), set, client.RawPatch(types.JSONPatchType, patch)))
	eventually(t, "the set is ready after the mistake was mended", w.isReady(set))
	for _, c := range set.Status.Conditions {
		assert.NotEqual(t, kruisev1beta1.CloneSetConditionFailedScale, c.Type, "the failure is over")
	}
}

func healsGarbage(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 1)
	w.bringUp(t, set)
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	pod := &pods[0]
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"{oops"}}}`, pub.InPlaceUpdateStateKey)
	require.NoError(t, w.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, patch)))
	eventually(t, "the annotation is gone", func(ctx context.Context) (bool, string) {
		err := w.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		_, found := pod.Annotations[pub.InPlaceUpdateStateKey]
		return err == nil && !found, fmt.Sprint(pod.Annotations, err)
	})
	eventually(t, "it is told once", func(ctx context.Context) (bool, string) {
		told := w.events(ctx, set, "BrokenAnnotationRemoved")
		return len(told) == 1, fmt.Sprint(told)
	})
}

// asksHooks looks at what only a real server can refuse: labels, finalizers and conditions in one write to the status.
func asksHooks(t *testing.T, w *world) {
	set := makeSet(w.namespace(t), 1)
	hook := &pub.LifecycleHook{LabelsHandler: map[string]string{"drain": "me"}, FinalizersHandler: []string{"example.com/drain"}, MarkPodNotReady: true}
	set.Spec.Lifecycle = &pub.Lifecycle{InPlaceUpdate: hook}
	set.Spec.Template.Labels = map[string]string{"app": "web", "drain": "me"}
	set.Spec.Template.Finalizers = hook.FinalizersHandler
	w.bringUp(t, set)
	pods, err := w.pods(t.Context(), set)
	require.NoError(t, err)
	pod := &pods[0]
	becomes := func(state pub.LifecycleStateType, ready corev1.ConditionStatus) {
		t.Helper()
		eventually(t, "the Pod is "+string(state), func(ctx context.Context) (bool, string) {
			err := w.Get(ctx, client.ObjectKeyFromObject(pod), pod)
			return err == nil && isInState([]corev1.Pod{*pod}, state) && conditionOf(pod, pub.KruisePodReady) == ready, fmt.Sprint(pod.Labels, pod.Status.Conditions, err)
		})
	}
	patch := func(body string) {
		t.Helper()
		require.NoError(t, w.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(body))))
	}
	setImage := func(image string) {
		t.Helper()
		body := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image)
		require.NoError(t, w.Patch(t.Context(), set, client.RawPatch(types.JSONPatchType, []byte(body))))
	}
	setImage("demo:2")
	becomes(pub.LifecycleStatePreparingUpdate, corev1.ConditionFalse)
	patch(`{"metadata":{"labels":{"drain":null},"finalizers":null}}`)
	becomes(pub.LifecycleStateUpdated, corev1.ConditionTrue)
	setImage("demo:3")
	becomes(pub.LifecycleStatePreparingUpdate, corev1.ConditionFalse)
	assert.Equal(t, "me", pod.Labels["drain"])
	assert.Equal(t, hook.FinalizersHandler, pod.Finalizers)
	patch(`{"metadata":{"labels":{"drain":null},"finalizers":null}}`)
	becomes(pub.LifecycleStateUpdated, corev1.ConditionTrue)
	patch(`{"metadata":{"labels":{"drain":"me"},"finalizers":["example.com/drain"]}}`)
	eventually(t, "the set is ready", w.isReady(set))
	patch(`{"metadata":{"finalizers":null}}`)
}

func restartsQuietly(t *testing.T, w *world, stop func()) {
	set := makeSet(w.namespace(t), 3)
	w.bringUp(t, set)
	stop()
	before, passes := w.versions(t, set), passesSoFar(t)
	w.startControllers(t)
	var all kruisev1beta1.CloneSetList
	require.NoError(t, w.List(t.Context(), &all))
	eventually(t, "there were as many passes as there are sets", func(context.Context) (bool, string) {
		more := passesSoFar(t) - passes
		return more >= float64(len(all.Items)), fmt.Sprintf("%g of %d", more, len(all.Items))
	})
	staysAsItIs(t, w, set)
	assert.Equal(t, before, w.versions(t, set), "nothing was written to since the controllers were stopped")

	require.NoError(t, w.Delete(t.Context(), set))
	eventually(t, "a set that is deleted is let go", func(ctx context.Context) (bool, string) {
		err := w.Get(ctx, client.ObjectKeyFromObject(set), set)
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

// passesSoFar counts what all controllers of this process have done, by their own metric.
func passesSoFar(t *testing.T) (n float64) {
	t.Helper()
	families, err := metrics.Registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			n += metric.GetCounter().GetValue()
		}
	}
	return n
}
