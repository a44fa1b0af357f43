// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/cloneset"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
	"github.com/keelson/keelson/controllers/plan/revision"
)

// FuzzPlan makes up a CloneSet, its revisions and its Pods out of bytes, as odd as the API server lets them be, and odder. Bytes that are objects are decoded as they come.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{}, "")
	f.Add([]byte("five Pods at two revisions, and a text in an annotation"), `{"revision":"web-1"}`)
	for i := range 16 {
		seed := make([]byte, 200)
		for j := range seed {
			seed[j] = byte(i*31 + j*(2*i+7) + j*j)
		}
		f.Add(seed, "{")
	}
	for _, name := range []string{"settled", "short", "halfway", "hooks"} {
		found := inherit(name)
		for i, pod := range found.pods {
			f.Add(encoded(f, objects{Set: found.set, Revision: found.revisions[i%2], Pod: pod}), "")
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		given := objects{}
		if json.Unmarshal(raw, &given) == nil && given.Set != nil && given.Revision != nil && given.Pod != nil {
			checkPlan(t, given.snapshot())
			return
		}
		d := &dice{raw: raw, text: text}
		checkPlan(t, d.snapshot(t))
	})
}

// objects are the least that can be planned for.
type objects struct {
	Set      *kruisev1beta1.CloneSet
	Revision *appsv1.ControllerRevision
	Pod      *corev1.Pod
}

func (o objects) snapshot() cloneset.Snapshot {
	if o.Set.Spec.Replicas != nil {
		*o.Set.Spec.Replicas = min(*o.Set.Spec.Replicas, 1000)
	}
	return cloneset.Snapshot{
		Set: o.Set, Revisions: []*appsv1.ControllerRevision{o.Revision}, Pods: []*pods.Facts{pods.Read(o.Pod)},
		FreshIDs: []string{"aaaaa", "bbbbb"}, Now: time.Unix(1767225600, 0).UTC(),
	}
}

func encoded(f *testing.F, object any) []byte {
	raw, err := json.Marshal(object)
	require.NoError(f, err)
	return raw
}

// checkPlan plans and reports twice. Nothing may panic, be said differently the second time, be written to what was observed, or be no patch.
func checkPlan(t *testing.T, s cloneset.Snapshot) {
	before := observedBytes(t, s)
	decision := cloneset.Plan(s)
	assert.Equal(t, decision, cloneset.Plan(s), "a plan is a function of what is observed")
	status := cloneset.Status(s, decision, plan.Outcome{})
	assert.Equal(t, status, cloneset.Status(s, decision, plan.Outcome{}))
	require.Equal(t, before, observedBytes(t, s), "nothing is written to what was observed")
	written := map[types.UID]bool{}
	for _, a := range decision.Actions {
		for _, c := range a.Changes {
			require.True(t, json.Valid(c.Patch), "%s", c.Patch)
		}
		if pod, isPod := a.Object.(*corev1.Pod); isPod && a.Verb != plan.Create {
			assert.False(t, written[pod.UID], "one action for each Pod")
			written[pod.UID] = true
		}
	}
}

func observedBytes(t *testing.T, s cloneset.Snapshot) string {
	raw, err := json.Marshal([]any{s.Set, s.Revisions})
	require.NoError(t, err)
	for _, f := range s.Pods {
		pod, err := json.Marshal(f.Pod)
		require.NoError(t, err)
		raw = append(raw, pod...)
	}
	return string(raw)
}

// dice turns bytes into choices; when they are used up it always takes the first.
type dice struct {
	raw []byte
	// text is put wherever any text may stand.
	text string
}

func (d *dice) roll(n int) int {
	if len(d.raw) == 0 {
		return 0
	}
	b := d.raw[0]
	d.raw = d.raw[1:]
	return int(b) % n
}

// oneOf chooses.
func oneOf[T any](d *dice, all ...T) T { return all[d.roll(len(all))] }

func (d *dice) chance() bool { return d.roll(2) == 1 }

func (d *dice) number() *intstr.IntOrString {
	return oneOf(d, nil, new(intstr.FromInt32(0)), new(intstr.FromInt32(1)), new(intstr.FromInt32(3)), new(intstr.FromInt32(-5)), new(intstr.FromInt32(1<<30)),
		new(intstr.FromString("20%")), new(intstr.FromString("99.9%")), new(intstr.FromString("100%")), new(intstr.FromString("half")), new(intstr.FromString(d.text)))
}

func (d *dice) snapshot(t *testing.T) cloneset.Snapshot {
	s := cloneset.Snapshot{Set: d.set(), Now: time.Unix(1767225600, 0).UTC()}
	s.Policy = plan.Policy{
		ShortHash: d.chance(), PartitionRollback: d.chance(), PreparingUpdateAsUpdate: d.chance(), VerticalScaling: d.chance(), EnvFromMetadata: d.chance(),
		ExcludePreparingDelete: d.chance(),
	}
	for i := range d.roll(5) {
		s.Revisions = append(s.Revisions, d.revision(t, s.Set, i))
	}
	for i := range d.roll(8) {
		s.Pods = append(s.Pods, pods.Read(d.pod(s, i)))
	}
	for i := range d.roll(7) {
		s.FreshIDs = append(s.FreshIDs, fmt.Sprintf("new%02d", i))
	}
	if len(s.Revisions) > 0 {
		s.Set.Status.CurrentRevision = oneOf(d, "", s.Revisions[0].Name, "web-gone")
		s.Set.Status.UpdateRevision = oneOf(d, "", s.Revisions[len(s.Revisions)-1].Name)
	}
	return s
}

func (d *dice) set() *kruisev1beta1.CloneSet {
	b := MakeCloneSet("web").Replicas(oneOf(d, int32(3), 0, 1, 5, -1))
	set := b.set
	set.Spec.Template = d.template()
	set.Spec.UpdateStrategy.Type = oneOf(d, kruisev1beta1.RollingUpdateCloneSetUpdateStrategyType, "", kruisev1beta1.OnDeleteCloneSetUpdateStrategyType, "other")
	set.Spec.MinReadySeconds = oneOf(d, int32(0), 10, -1)
	set.Spec.ProgressDeadlineSeconds = oneOf(d, nil, new(int32(0)), new(int32(60)), new(int32(-1)))
	set.Spec.ScaleStrategy = kruisev1beta1.CloneSetScaleStrategy{MaxUnavailable: d.number(), EnablePVCReuse: d.chance(), ExcludePreparingDelete: d.chance()}
	if d.chance() {
		set.Spec.ScaleStrategy.PodsToDelete = []string{"web-0", "web-gone", d.text, "web-0"}
	}
	if d.chance() {
		set.Spec.Lifecycle = &pub.Lifecycle{PreDelete: d.hook(), InPlaceUpdate: d.hook(), PreNormal: d.hook()}
	}
	if d.chance() {
		set.Spec.UpdateStrategy.RollingUpdate = nil
		return set
	}
	*b.rolling() = d.rolling()
	return set
}

func (d *dice) rolling() kruisev1beta1.RollingUpdateCloneSetStrategy {
	r := kruisev1beta1.RollingUpdateCloneSetStrategy{
		Partition: d.number(), MaxUnavailable: d.number(), MaxSurge: d.number(), Paused: d.chance(),
		PodUpdatePolicy: oneOf(d, kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType, kruisev1beta1.InPlaceOnlyPodUpdatePolicyType,
			kruisev1beta1.RecreatePodUpdatePolicyType, "", "other"),
	}
	if d.chance() {
		r.InPlaceUpdateStrategy = &pub.InPlaceUpdateStrategy{GracePeriodSeconds: oneOf(d, int32(0), 5, -5)}
	}
	if d.chance() {
		r.ScatterStrategy = pub.UpdateScatterStrategy{{Key: "a", Value: "b"}, {Key: "", Value: d.text}, {Key: "a", Value: "b"}}
	}
	switch d.roll(3) {
	case 1:
		r.PriorityStrategy = &pub.UpdatePriorityStrategy{OrderPriority: []pub.UpdatePriorityOrderTerm{{OrderedKey: "a"}, {OrderedKey: d.text}}}
	case 2:
		r.PriorityStrategy = &pub.UpdatePriorityStrategy{WeightPriority: []pub.UpdatePriorityWeightTerm{
			{Weight: 1 << 30, MatchSelector: metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}},
			{Weight: -1, MatchSelector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: d.text, Operator: "Like"}}}},
		}}
	}
	return r
}

func (d *dice) hook() *pub.LifecycleHook {
	if d.chance() {
		return nil
	}
	hook := &pub.LifecycleHook{MarkPodNotReady: d.chance()}
	if d.chance() {
		hook.LabelsHandler = map[string]string{"a": "b"}
	}
	if d.chance() {
		hook.FinalizersHandler = []string{"example.com/hold"}
	}
	return hook
}

func (d *dice) template() corev1.PodTemplateSpec {
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}}
	if d.chance() {
		template.Labels["a"] = oneOf(d, "b", "c", d.text)
	}
	for i := range d.roll(4) {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i), Image: oneOf(d, "app:v1", "app:v2", "app:v3", "", d.text)}
		switch d.roll(4) {
		case 1:
			c.Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['a']"}}}}
		case 2:
			c.Env = []corev1.EnvVar{{Name: "KRUISE_CONTAINER_PRIORITY", Value: oneOf(d, "1", "-1", d.text)}}
		case 3:
			c.Command = []string{"serve"}
		}
		template.Spec.Containers = append(template.Spec.Containers, c)
	}
	return template
}

func (d *dice) revision(t *testing.T, set *kruisev1beta1.CloneSet, i int) *appsv1.ControllerRevision {
	template := oneOf(d, set.Spec.Template, d.template())
	rev, err := revision.New(revision.Owner{Object: set, Template: &template})
	require.NoError(t, err)
	rev.UID, rev.Revision = types.UID(fmt.Sprintf("rev-%d", i)), int64(oneOf(d, i, 0, -1, 7))
	switch d.roll(4) {
	case 1:
		rev.Data = runtime.RawExtension{}
	case 2:
		rev.Data = runtime.RawExtension{Raw: []byte(`{"spec":{"template":[]}}`)}
	}
	return rev
}

func (d *dice) pod(s cloneset.Snapshot, i int) *corev1.Pod {
	at := "web-gone"
	template := d.template()
	if len(s.Revisions) > 0 {
		rev := s.Revisions[d.roll(len(s.Revisions))]
		at = oneOf(d, rev.Name, revision.ShortHash(rev.Name), "", d.text)
		if found, err := revision.Template(rev); err == nil {
			template = *found
		}
	}
	pod := pods.Build(&template, pods.Identity{Namespace: "default", Name: fmt.Sprintf("web-%d", i), Labels: map[string]string{
		"controller-revision-hash": at, pub.LifecycleStateKey: oneOf(d, "Normal", "", "PreparingNormal", "PreparingUpdate", "Updating", "Updated", "PreparingDelete", d.text),
	}})
	pod.UID, pod.ResourceVersion = types.UID(fmt.Sprintf("pod-%d", i)), "1"
	d.annotate(pod, at)
	d.report(pod)
	if d.chance() {
		pod.Finalizers = []string{"example.com/hold"}
	}
	if d.roll(8) == 1 {
		pod.DeletionTimestamp = &metav1.Time{Time: s.Now}
	}
	return pod
}

// annotate writes what updates in place leave on a Pod.
func (d *dice) annotate(pod *corev1.Pod, at string) {
	const held = `{"revision":%q,"containerImages":{"c0":"app:v9"},"graceSeconds":%d}`
	const state = `{"revision":%q,"updateTimestamp":"2025-12-31T23:59:58Z","lastContainerStatuses":{"c0":{"imageID":"sha256:1"}},"nextContainerImages":{"c1":"app:v9"}}`
	for _, key := range []string{pub.InPlaceUpdateStateKey, pub.InPlaceUpdateStateKeyOld} {
		if value := oneOf(d, "", fmt.Sprintf(state, at), "{}", d.text); value != "" {
			pod.Annotations[key] = value
		}
	}
	for _, key := range []string{pub.InPlaceUpdateGraceKey, pub.InPlaceUpdateGraceKeyOld} {
		if value := oneOf(d, "", "", fmt.Sprintf(held, at, d.roll(9)), "{}", d.text); value != "" {
			pod.Annotations[key] = value
		}
	}
	if d.roll(4) == 1 {
		pod.Labels[kruisev1beta1.SpecifiedDeleteKey] = d.text
	}
	if d.chance() {
		pod.Annotations[pub.RuntimeContainerMetaKey] = oneOf(d, `{"containers":[{"name":"c0","containerID":"1","hashes":{"plainHash":1}}]}`, d.text)
	}
}

// report writes what a kubelet might.
func (d *dice) report(pod *corev1.Pod) {
	pod.Spec.NodeName = oneOf(d, "node-1", "", "node-2")
	pod.Status.Phase = oneOf(d, corev1.PodRunning, corev1.PodPending, corev1.PodFailed, corev1.PodSucceeded, "")
	for _, kind := range []corev1.PodConditionType{corev1.PodReady, pub.InPlaceUpdateReady, pub.KruisePodReady, corev1.PodScheduled} {
		if status := oneOf(d, corev1.ConditionTrue, corev1.ConditionFalse, "", "other"); status != "" {
			pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Message: oneOf(d, "", d.text)})
		}
	}
	for i := range pod.Spec.Containers {
		if d.roll(4) == 1 {
			continue
		}
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: pod.Spec.Containers[i].Name, Image: oneOf(d, pod.Spec.Containers[i].Image, "app:v1"), ImageID: oneOf(d, "sha256:1", "sha256:2", ""),
			ContainerID: "1", Ready: d.chance(), RestartCount: int32(d.roll(3)),
		})
	}
}
