// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// toy is the smallest controller: it keeps so many Pods of one image. A test may give it a plan of its own.
type toy struct {
	replicas int
	image    string
	promise  sim.Promise
	plan     func(w *sim.World) plan.Decision
}

func (t *toy) Plan(w *sim.World) plan.Decision {
	if t.plan != nil {
		return t.plan(w)
	}
	var d plan.Decision
	pods := w.Pods()
	for _, id := range w.FreshIDs(max(t.replicas-len(pods), 0)) {
		d.Act(create(makePod("toy-"+id, t.image)))
	}
	return d
}

func (t *toy) Report(*sim.World, plan.Decision, plan.Outcome) bool { return false }

func (t *toy) Promise(*sim.World) sim.Promise {
	t.promise.Replicas = t.replicas
	return t.promise
}

func (t *toy) Counts(w *sim.World) string {
	return fmt.Sprintf("available %d", t.promise.Tally(w.Pods(), w.Now).Available)
}

// makePod has two containers and the readiness gate.
func makePod(name, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", Labels: map[string]string{"controller-revision-hash": "toy-1"}, OwnerReferences: []metav1.OwnerReference{toyReference()},
		},
		Spec: corev1.PodSpec{
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: pub.InPlaceUpdateReady}},
			Containers:     []corev1.Container{{Name: "main", Image: image}, {Name: "side", Image: "side:v1"}},
		},
	}
}

// makeClaim is a claim that the toy controls.
func makeClaim(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", OwnerReferences: []metav1.OwnerReference{toyReference()}}}
}

// toyReference names the controller of all that the toy makes.
func toyReference() metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Toy", Name: "toy", UID: "toy-0", Controller: new(true)}
}

// makeRevision is toy-1, whose template says what makePod makes, but for the image of the main container.
func makeRevision(image string) *appsv1.ControllerRevision {
	template := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":%q},{"name":"side","image":"side:v1"}]}}}}`, image)
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: "toy-1", Namespace: "default", OwnerReferences: []metav1.OwnerReference{toyReference()}},
		Data:       runtime.RawExtension{Raw: []byte(template)}, Revision: 1,
	}
}

func create(pod *corev1.Pod) plan.Action { return plan.Action{Verb: plan.Create, Object: pod} }

func remove(pod *corev1.Pod) plan.Action { return plan.Action{Verb: plan.Delete, Object: pod} }

func patch(pod *corev1.Pod, bodies ...string) plan.Action {
	a := plan.Action{Verb: plan.Patch, Object: pod}
	for _, body := range bodies {
		a.Changes = append(a.Changes, plan.Change{Patch: []byte(body)})
	}
	return a
}

func patchStatus(pod *corev1.Pod, body string) plan.Action {
	return plan.Action{Verb: plan.Patch, Object: pod, Changes: []plan.Change{{Subresource: "status", Patch: []byte(body)}}}
}

const (
	gateOpen   = `{"status":{"conditions":[{"type":"InPlaceUpdateReady","status":"True"}]}}`
	gateClosed = `{"status":{"conditions":[{"type":"InPlaceUpdateReady","status":"False"},{"type":"Ready","status":"False"}]}}`
)

// running is a world with so many Pods that serve, toy-a and so on.
func running(t *testing.T, n int) (*sim.Play, *toy) {
	t.Helper()
	w := sim.NewWorld()
	w.Script = &sim.Script{}
	c := &toy{replicas: n, image: "app:v1"}
	play := sim.NewPlay(w, c)
	require.True(t, play.Settle(100))
	for _, pod := range w.Pods() {
		_, err := w.Perform(plan.Decision{Actions: []plan.Action{patchStatus(pod, gateOpen)}})
		require.NoError(t, err)
	}
	require.True(t, play.Settle(100))
	require.Equal(t, n, c.promise.Tally(w.Pods(), w.Now).Available)
	return play, c
}
