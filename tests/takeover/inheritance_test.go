// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/yaml"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// nobody is the UID that the fixtures have for their set.
const nobody = "00000000-0000-0000-0000-000000000000"

// inheritance is what one namespace holds that OpenKruise 1.9 ran.
type inheritance struct {
	*support.Suite
	// found are the Pods as the fixture has them.
	found []*corev1.Pod
	// before is how they are when Keelson starts.
	before    map[string]corev1.Pod
	revisions []appsv1.ControllerRevision
}

// inherit brings a fixture into a namespace of its own, while no controller runs. What OpenKruise would have written is written by the test: the Pods begin as they were
// before the rollout, run on real nodes, and are then brought to the step at which it was left.
func inherit(t *testing.T, name string) *inheritance {
	t.Helper()
	in := &inheritance{Suite: support.BeginAlone(t)}
	text, err := os.ReadFile("../../controllers/cloneset/testdata/takeover/" + name + ".yaml")
	require.NoError(t, err)
	var children []string
	for _, document := range strings.Split(string(text), "\n---\n") {
		var kind metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal([]byte(document), &kind))
		switch kind.Kind {
		case "CloneSet":
			in.createSet(document)
		case "Pod":
			pod := &corev1.Pod{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), pod))
			in.found = append(in.found, pod)
		default:
			children = append(children, document)
		}
	}
	if name == "volumes" {
		in.VolumesOfNoClass(3)
	}
	uid := string(in.CloneSet("web").UID)
	in.kubectl(strings.ReplaceAll(strings.Join(children, "\n---\n"), nobody, uid))
	for _, pod := range in.found {
		pod.OwnerReferences[0].UID = in.CloneSet("web").UID
		in.run(pod)
	}
	for _, pod := range in.found {
		in.bring(pod)
	}
	in.before, in.revisions = in.Pods("app=web"), in.history()
	return in
}

// kubectl creates objects as they are written.
func (in *inheritance) kubectl(manifest string) {
	in.Helper()
	out, err := support.Kubectl(in.Context(), []byte(manifest), "-n", in.Namespace, "create", "-f", "-")
	require.NoError(in, err, out)
}

// createSet creates the set with the status that was last written.
func (in *inheritance) createSet(document string) {
	in.Helper()
	in.kubectl(document)
	found, set := &kruisev1beta1.CloneSet{}, in.CloneSet("web")
	require.NoError(in, yaml.Unmarshal([]byte(document), found))
	set.Status = found.Status
	require.NoError(in, in.Resources.UpdateStatus(in.Context(), set))
}

// run creates a Pod as it was before the rollout and waits until it serves.
func (in *inheritance) run(found *corev1.Pod) {
	in.Helper()
	pod := &corev1.Pod{ObjectMeta: *found.ObjectMeta.DeepCopy(), Spec: *found.Spec.DeepCopy()}
	pod.Namespace, pod.Spec.NodeName = in.Namespace, ""
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Image = found.Status.ContainerStatuses[i].Image
	}
	require.NoError(in, in.Resources.Create(in.Context(), pod))
	for _, gate := range pod.Spec.ReadinessGates {
		in.condition(pod.Name, corev1.PodCondition{Type: gate.ConditionType, Status: corev1.ConditionTrue})
	}
	in.Eventually(pod.Name+" serves", func() bool { return support.IsReady(in.Pods("app=web")[pod.Name]) })
}

// bring leads a Pod to the step at which it was left. Its annotations name the images by which its containers really ran.
func (in *inheritance) bring(found *corev1.Pod) {
	in.Helper()
	ran, name := in.Pods("app=web")[found.Name], found.Name
	annotations := map[string]string{}
	for key, value := range found.Annotations {
		for i := range ran.Status.ContainerStatuses {
			value = strings.ReplaceAll(value, found.Status.ContainerStatuses[i].ImageID, ran.Status.ContainerStatuses[i].ImageID)
		}
		annotations[key] = value
	}
	for _, c := range found.Status.Conditions {
		for _, gate := range found.Spec.ReadinessGates {
			if c.Type == gate.ConditionType && c.Status != corev1.ConditionTrue {
				in.condition(name, c)
			}
		}
	}
	patch := map[string]any{"metadata": map[string]any{"annotations": annotations}}
	var images []map[string]any
	for i := range found.Spec.Containers {
		images = append(images, map[string]any{"name": found.Spec.Containers[i].Name, "image": found.Spec.Containers[i].Image})
	}
	patch["spec"] = map[string]any{"containers": images}
	in.strategic(name, "", patch)
}

// condition writes a condition of a Pod that its controllers own.
func (in *inheritance) condition(pod string, c corev1.PodCondition) {
	in.Helper()
	c.LastTransitionTime = metav1.Now()
	in.strategic(pod, "status", map[string]any{"status": map[string]any{"conditions": []corev1.PodCondition{c}}})
}

func (in *inheritance) strategic(pod, subresource string, patch map[string]any) {
	in.Helper()
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: in.Namespace}}
	body := k8s.Patch{PatchType: types.StrategicMergePatchType, Data: []byte(support.JSON(patch))}
	if subresource != "" {
		require.NoError(in, in.Resources.PatchSubresource(in.Context(), object, subresource, body))
		return
	}
	require.NoError(in, in.Resources.Patch(in.Context(), object, body))
}

func (in *inheritance) history() []appsv1.ControllerRevision {
	in.Helper()
	var list appsv1.ControllerRevisionList
	require.NoError(in, in.Resources.WithNamespace(in.Namespace).List(in.Context(), &list))
	return list.Items
}

// controllers scales the controllers, and waits until that is so.
func controllers(ctx context.Context, t *testing.T, replicas string) {
	t.Helper()
	for _, args := range [][]string{
		{"scale", "deployment", "kruise-controller-manager", "--replicas=" + replicas},
		{"rollout", "status", "deployment/kruise-controller-manager", "--timeout=120s"},
	} {
		out, err := support.Kubectl(ctx, nil, append([]string{"-n", "kruise-system"}, args...)...)
		require.NoError(t, err, out)
	}
	if replicas == "0" {
		out, err := support.Kubectl(ctx, nil, "-n", "kruise-system", "wait", "pods", "-l", "control-plane=controller-manager", "--for=delete", "--timeout=120s")
		require.NoError(t, err, out)
	}
}

// isSame says that two encodings are the same bytes.
func isSame(a, b any) bool { return bytes.Equal([]byte(support.JSON(a)), []byte(support.JSON(b))) }

// newest is the name of the revision with the greatest number.
func newest(revisions []appsv1.ControllerRevision) string {
	found := &appsv1.ControllerRevision{}
	for i := range revisions {
		if revisions[i].Revision >= found.Revision {
			found = &revisions[i]
		}
	}
	return found.Name
}
