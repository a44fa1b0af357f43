// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keelson/keelson/controllers/loop/apply"
	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan"
)

// bench is a real API server with hands and the workload that they work for.
type bench struct {
	client.Client
	hands  *apply.Hands
	events *events.FakeRecorder
	owner  *corev1.ConfigMap
}

func newBench(t *testing.T, c client.Client) *bench {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	require.NoError(t, c.Create(t.Context(), namespace))
	b := &bench{
		Client: c, events: events.NewFakeRecorder(100),
		owner: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "owner"}},
	}
	require.NoError(t, c.Create(t.Context(), b.owner))
	b.hands = apply.NewHands(c, inflight.New(time.Minute, clock.RealClock{}), b.events)
	return b
}

func (b *bench) pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.owner.Namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "demo:1"}}},
	}
}

func (b *bench) existing(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	pod := b.pod(name)
	require.NoError(t, b.Create(t.Context(), pod))
	return pod
}

// refused is a Pod that the API server does not take.
func (b *bench) refused(name string) *corev1.Pod {
	pod := b.pod(name)
	pod.Spec.Containers[0].Name = "Not_A_Name"
	return pod
}

func (b *bench) told() []string {
	var all []string
	for len(b.events.Events) > 0 {
		all = append(all, <-b.events.Events)
	}
	return all
}

func (b *bench) exists(t *testing.T, name string) bool {
	t.Helper()
	err := b.Get(t.Context(), client.ObjectKey{Namespace: b.owner.Namespace, Name: name}, &corev1.Pod{})
	require.NoError(t, client.IgnoreNotFound(err))
	return err == nil
}

func create(object plan.Object) plan.Action {
	return plan.Action{
		Verb: plan.Create, Object: object,
		Done:   plan.Event{Type: corev1.EventTypeNormal, Reason: "Created", Message: object.GetName()},
		Failed: plan.Event{Type: corev1.EventTypeWarning, Reason: "NotCreated", Message: object.GetName() + ": " + plan.TheError + ", pod: " + plan.TheObject},
	}
}

func patch(object plan.Object, changes ...plan.Change) plan.Action {
	return plan.Action{
		Verb: plan.Patch, Object: object, Changes: changes,
		Failed: plan.Event{Type: corev1.EventTypeWarning, Reason: "NotPatched", Message: object.GetName() + ": " + plan.TheError},
	}
}

func names(actions []plan.Action) []string {
	var all []string
	for _, a := range actions {
		all = append(all, a.Object.GetName())
	}
	return all
}

func deferred(o plan.Outcome) []string {
	var all []string
	for _, d := range o.Deferred {
		all = append(all, d.Action.Object.GetName())
	}
	return all
}

func reasons(o plan.Outcome) []plan.DeferralReason {
	var all []plan.DeferralReason
	for _, d := range o.Deferred {
		all = append(all, d.Reason)
	}
	return all
}

func failed(o plan.Outcome) []string {
	var all []string
	for _, f := range o.Failures {
		all = append(all, f.Action.Object.GetName())
	}
	return all
}

func TestPerform(t *testing.T) {
	require.NotEmpty(t, os.Getenv("KUBEBUILDER_ASSETS"), "it must name a folder with kube-apiserver and etcd: run make envtest")
	env := &envtest.Environment{}
	config, err := env.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, env.Stop()) })
	c, err := client.New(config, client.Options{})
	require.NoError(t, err)
	for name, run := range map[string]func(*testing.T, *bench){
		"what is created is told, and waited for":                       createsAndTells,
		"a refusal ends the creations after its batch":                  startsSlowly,
		"a refusal is met a few times, and not again by each pass":      remembersRefusals,
		"a step that fails keeps the next from being begun":             keepsSteps,
		"a Pod that cannot be changed does not keep others from coming": isolatesChanges,
		"the second change is made on what the first one gave":          chainsChanges,
		"whoever was overtaken is deferred, and nobody is told":         defersOvertaken,
		"a name that is taken is what the plan says it is":              judgesTakenNames,
		"a deletion that is locked is not made on anything newer":       locksDeletions,
		"what comes first keeps its action away when it fails":          putsFirstThingsFirst,
		"a claim whose name is taken counts as made where that will do": takesTheClaimThatIsThere,
		"what comes then is done once its action has succeeded":         goesOnAfterwards,
		"a failure names the subresource, even one that is not known":   namesSubresources,
		"a deletion is waited for, and one that failed is not":          waitsForDeletions,
		"what got no answer is looked for":                              looksAfterSilence,
		"a cache that shows what is gone is not believed":               believesNoLateCache,
		"in a namespace that is being deleted nothing fails":            yieldsToTheEnd,
	} {
		t.Run(name, func(t *testing.T) { run(t, newBench(t, c)) })
	}
}

func createsAndTells(t *testing.T, b *bench) {
	planned := b.pod("a")
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{
		Actions: []plan.Action{create(planned)},
		Events:  []plan.Event{{Type: corev1.EventTypeWarning, Reason: "Limited", Message: "not now"}},
	})
	assert.Equal(t, []string{"a"}, names(o.Done))
	assert.Equal(t, []string{"Warning Limited not now", "Normal Created a"}, b.told())
	assert.Empty(t, planned.UID, "the planned object is not written to")
	assert.Equal(t, inflight.Behind, b.hands.Inflight.State(b.owner.UID))
}

func startsSlowly(t *testing.T, b *bench) {
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{
		create(b.pod("a")), create(b.refused("b")), create(b.pod("c")), create(b.pod("d")), create(b.pod("e")),
	}})
	assert.Equal(t, []string{"a", "c"}, names(o.Done))
	assert.Equal(t, []string{"b"}, failed(o))
	assert.Equal(t, []string{"d", "e"}, deferred(o))
	told := b.told()
	require.Len(t, told, 3)
	assert.Contains(t, told[1], `Warning NotCreated b: Pod "b" is invalid: spec.containers[0].name`)
	assert.Contains(t, told[1], `, pod: {"metadata":{"name":"b",`)
}

func yieldsToTheEnd(t *testing.T, b *bench) {
	pod := b.existing(t, "there")
	// NOTE: nobody ends namespaces here, so that this one stays as it is.
	require.NoError(t, b.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.owner.Namespace}}))
	actions := []plan.Action{patch(pod, plan.Change{Patch: []byte(`{"metadata":{"labels":{"x":"y"}}}`)})}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		actions = append(actions, create(b.pod(name)))
	}
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: actions})
	assert.Equal(t, []string{"there"}, names(o.Done), "what is there can be written to")
	assert.Empty(t, o.Failures)
	assert.Equal(t, []plan.DeferralReason{
		plan.NamespaceTerminating, plan.NotBegun, plan.NotBegun, plan.NotBegun, plan.NotBegun, plan.NotBegun,
	}, reasons(o), "one is refused, and no other is tried")
	assert.True(t, o.IsNamespaceTerminating())
	assert.Empty(t, b.told())
}

func keepsSteps(t *testing.T, b *bench) {
	later := create(b.pod("later"))
	later.Step = 1
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{later, create(b.refused("first"))}})
	assert.Equal(t, []string{"later"}, deferred(o))
	assert.False(t, b.exists(t, "later"))

	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{later, create(b.pod("first"))}})
	assert.Equal(t, []string{"first", "later"}, names(o.Done))
}

func isolatesChanges(t *testing.T, b *bench) {
	stubborn := b.existing(t, "stubborn")
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{
		patch(stubborn, plan.Change{Patch: []byte(`{"spec":{"containers":[{"name":"main","image":""}]}}`)}),
		create(b.pod("a")),
	}})
	assert.Equal(t, []string{"stubborn"}, failed(o))
	assert.Equal(t, []string{"a"}, names(o.Done))
}

func namesSubresources(t *testing.T, b *bench) {
	guaranteed := []byte(`{"spec":{"containers":[{"name":"main","resources":{"limits":{"cpu":"1","memory":"1Mi"}}}]}}`)
	for _, subresource := range []string{"resize", "nonsense"} {
		o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{
			patch(b.existing(t, subresource), plan.Change{Subresource: subresource, Patch: guaranteed}),
		}})
		assert.Empty(t, o.Deferred, "it would be tried for ever")
		require.Len(t, o.Failures, 1)
		assert.Equal(t, subresource, o.Failures[0].Subresource)
		assert.ErrorContains(t, o.Failures[0].Err, "patching "+subresource+": "+subresource+": ")
	}
	gone := b.pod("gone")
	gone.UID = "1"
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{patch(gone, plan.Change{Subresource: "resize", Patch: guaranteed})}})
	assert.Equal(t, []string{"gone"}, deferred(o))
}

func chainsChanges(t *testing.T, b *bench) {
	pod := b.existing(t, "a")
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{patch(pod,
		plan.Change{Subresource: "status", Patch: []byte(`{"metadata":{"labels":{"l":"1"}},"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)},
		plan.Change{Patch: []byte(`{"spec":{"containers":[{"name":"main","image":"demo:2"}]}}`)},
	)}})
	assert.Equal(t, []string{"a"}, names(o.Done))
	require.NoError(t, b.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
	assert.Equal(t, "demo:2", pod.Spec.Containers[0].Image)
	assert.Equal(t, "1", pod.Labels["l"])
	assert.Equal(t, corev1.ConditionFalse, pod.Status.Conditions[0].Status)
}

func defersOvertaken(t *testing.T, b *bench) {
	stale := b.existing(t, "stale")
	fresh := stale.DeepCopy()
	fresh.Labels = map[string]string{"newer": "true"}
	require.NoError(t, b.Update(t.Context(), fresh))
	gone := b.existing(t, "gone")
	require.NoError(t, b.Delete(t.Context(), gone))
	replaced := b.existing(t, "replaced")
	require.NoError(t, b.Delete(t.Context(), replaced.DeepCopy()))
	b.existing(t, "replaced")
	b.existing(t, "taken")
	taken := create(b.pod("taken"))
	taken.IfExists = plan.ExistsDefers

	label := plan.Change{Patch: []byte(`{"metadata":{"labels":{"x":"y"}}}`)}
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{
		patch(stale, label), patch(gone, label), patch(replaced, label), {Verb: plan.Delete, Object: replaced}, taken,
	}})
	assert.Equal(t, []string{"stale", "gone", "replaced", "replaced", "taken"}, deferred(o))
	assert.Equal(t, []plan.DeferralReason{plan.Superseded, plan.ObjectGone, plan.Superseded, plan.Superseded, plan.NameTaken}, reasons(o))
	assert.Empty(t, o.Failures)
	assert.Empty(t, b.told())
	assert.True(t, b.exists(t, "replaced"), "another Pod of that name is left alone")
}

func judgesTakenNames(t *testing.T, b *bench) {
	revision := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: b.owner.Namespace, Name: "web-1"}, Revision: 1}
	revision.Data.Raw = []byte(`{}`)
	require.NoError(t, b.Create(t.Context(), revision.DeepCopy()))
	a := create(revision)
	a.Phase = plan.PhaseRevision
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{a}})
	require.NotNil(t, o.FailureOf(plan.PhaseRevision))
	assert.True(t, apierrors.IsAlreadyExists(o.FailureOf(plan.PhaseRevision).Err))

	b.existing(t, "web-0")
	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{create(b.pod("web-0"))}})
	assert.Equal(t, []string{"web-0"}, failed(o), "a Pod with a name that cannot be another is told of")
}

func locksDeletions(t *testing.T, b *bench) {
	observed := b.existing(t, "a")
	newer := observed.DeepCopy()
	newer.Labels = map[string]string{"hook": "wait"}
	require.NoError(t, b.Update(t.Context(), newer))
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: observed, Locked: true}}})
	assert.Equal(t, []plan.DeferralReason{plan.Superseded}, reasons(o))
	assert.True(t, b.exists(t, "a"))
	assert.Equal(t, inflight.Current, b.hands.Inflight.State(b.owner.UID), "nothing is waited for")

	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: newer, Locked: true}}})
	assert.Equal(t, []string{"a"}, names(o.Done))
}

func (b *bench) claim(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.owner.Namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}

func putsFirstThingsFirst(t *testing.T, b *bench) {
	good, bad := create(b.pod("good")), create(b.pod("bad"))
	good.First = []plan.Action{create(b.claim("data-good")), create(b.claim("logs-good"))}
	empty := b.claim("data-bad")
	empty.Spec.AccessModes = nil
	bad.First = []plan.Action{create(empty), create(b.claim("logs-bad"))}
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{good, bad, create(b.pod("beside")), create(b.pod("later"))}})
	assert.Equal(t, []string{"data-good", "logs-good", "good", "beside"}, names(o.Done))
	assert.Equal(t, []string{"data-bad"}, failed(o))
	assert.Equal(t, []string{"logs-bad", "bad", "later"}, deferred(o), "the batches are 1, 2 and 1: the second has a failure")
	assert.False(t, b.exists(t, "bad"))
	told := b.told()
	require.Len(t, told, 5)
	assert.Contains(t, told[3], "Warning NotCreated data-bad: PersistentVolumeClaim \"data-bad\" is invalid: ")
}

func takesTheClaimThatIsThere(t *testing.T, b *bench) {
	require.NoError(t, b.Create(t.Context(), b.claim("data-a")))
	a := create(b.pod("a"))
	claim := create(b.claim("data-a"))
	claim.IfExists = plan.ExistsSuffices
	a.First = []plan.Action{claim}
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{a, claim}})
	assert.Equal(t, []string{"a"}, names(o.Done))
	assert.Empty(t, o.Failures)
	assert.Empty(t, o.Deferred)
}

func goesOnAfterwards(t *testing.T, b *bench) {
	claim := b.claim("data-a")
	require.NoError(t, b.Create(t.Context(), claim))
	gone := b.claim("logs-a")
	gone.UID = "gone"
	pod := b.existing(t, "a")
	other := pod.DeepCopy()
	other.UID = "another"
	then := []plan.Action{{Verb: plan.Delete, Object: gone}, {Verb: plan.Delete, Object: claim}}
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: other, Then: then}}})
	assert.Equal(t, []string{"a", "logs-a", "data-a"}, deferred(o))
	require.NoError(t, b.Get(t.Context(), client.ObjectKeyFromObject(claim), claim))
	assert.Nil(t, claim.DeletionTimestamp, "the Pod is there, and so is its claim")

	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: pod, Then: then}}})
	assert.Equal(t, []string{"a", "data-a"}, names(o.Done), "each is tried, whatever becomes of the others")
	assert.Equal(t, []string{"logs-a"}, deferred(o))
}

func waitsForDeletions(t *testing.T, b *bench) {
	pod := b.existing(t, "a")
	other := pod.DeepCopy()
	other.UID = "another"
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: other}}})
	assert.Len(t, o.Deferred, 1)
	assert.Equal(t, inflight.Current, b.hands.Inflight.State(b.owner.UID))

	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: pod}}})
	assert.Len(t, o.Done, 1)
	assert.Equal(t, inflight.Behind, b.hands.Inflight.State(b.owner.UID))
	b.hands.Inflight.Gone(pod.UID)
	assert.Equal(t, inflight.Current, b.hands.Inflight.State(b.owner.UID))

	ending := b.existing(t, "b")
	ending.Finalizers = []string{"test.keelson.io/look"}
	require.NoError(t, b.Update(t.Context(), ending))
	observed := ending.DeepCopy()
	require.NoError(t, b.Delete(t.Context(), ending))
	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: observed}}})
	assert.Len(t, o.Done, 1)
	assert.Equal(t, inflight.Current, b.hands.Inflight.State(b.owner.UID), "what somebody else is deleting already is not waited for: no event would tell")
}

func remembersRefusals(t *testing.T, b *bench) {
	made := 0
	// create asks for a hundred Pods, of which the API server takes the first ones.
	create := func(good int) plan.Outcome {
		actions := make([]plan.Action, 100)
		for i := range actions {
			made++
			pod := b.pod(fmt.Sprintf("pod-%d", made))
			if i >= good {
				pod = b.refused(pod.Name)
			}
			actions[i] = plan.Action{Verb: plan.Create, Object: pod}
		}
		return b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: actions})
	}

	outcome := create(0)
	assert.Len(t, outcome.Failures, 1, "the first batch is one Pod")
	assert.Len(t, outcome.Deferred, 99)

	outcome = create(10)
	assert.Len(t, outcome.Done, 10, "batches of 1, 2, 4, and 3 of the next 8")
	assert.Len(t, outcome.Failures, 5)
	assert.Len(t, outcome.Deferred, 85)

	assert.Len(t, create(100).Done, 100)
	assert.Len(t, create(0).Failures, 32, "after a batch of 32 went well, the next pass begins with that")
	assert.Len(t, create(0).Failures, 1, "and after a refusal with one")
}
