// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package revision_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keelson/keelson/controllers/plan/revision"
)

func template(image string) *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
	}
}

func newRevision(t *testing.T, image string, collisions *int32) *appsv1.ControllerRevision {
	t.Helper()
	rev, err := revision.New(revision.Owner{
		Object: &metav1.ObjectMeta{
			Name: "web", Namespace: "shop",
			Annotations: map[string]string{"team": "a", "argocd.argoproj.io/tracking-id": "x", corev1.LastAppliedConfigAnnotation: "{}"},
		},
		Template: template(image), CollisionCount: collisions,
	})
	require.NoError(t, err)
	return rev
}

func TestNewHasThePublishedBytesAndName(t *testing.T) {
	rev := newRevision(t, "app:v1", nil)
	assert.JSONEq(t, `{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},
		"spec":{"containers":[{"image":"app:v1","name":"main","resources":{}}]}}}}`, string(rev.Data.Raw))
	assert.Equal(t, "web-"+rev.Labels[revision.HashLabel], rev.Name)
	assert.Equal(t, map[string]string{"team": "a"}, rev.Annotations, "annotations of tools must not make a child look like an object from Git")
	assert.Equal(t, rev.Name, newRevision(t, "app:v1", nil).Name, "the same template always has the same name")
	assert.Equal(t, rev.Name, newRevision(t, "app:v1", ptr.To[int32](0)).Name, "no collision is no collision, whether it is said or not")
	assert.NotEqual(t, rev.Name, newRevision(t, "app:v1", ptr.To[int32](1)).Name, "a collision changes the name")
	back, err := revision.Template(rev)
	require.NoError(t, err)
	assert.Equal(t, template("app:v1"), back)
}

func TestNameLeavesRoomForTheHash(t *testing.T) {
	assert.Len(t, revision.Name(strings.Repeat("x", 250), "5d8c7f"), 223+1+6)
}

func TestMatches(t *testing.T) {
	assert.True(t, revision.Matches("web-5d8c7f", "web-5d8c7f"))
	assert.True(t, revision.Matches("5d8c7f", "web-5d8c7f"), "a short label means the same revision")
	assert.False(t, revision.Matches("web-111111", "web-5d8c7f"))
	assert.False(t, revision.Matches("", "web-5d8c7f"), "a Pod without a label has no revision")
}

func TestChoose(t *testing.T) {
	v1, v2 := newRevision(t, "app:v1", nil), newRevision(t, "app:v2", nil)
	v1.Revision, v2.Revision = 1, 2
	history := []*appsv1.ControllerRevision{v1, v2}

	t.Run("the first template becomes revision 1", func(t *testing.T) {
		got := revision.Choose(nil, newRevision(t, "app:v1", nil), "")
		assert.True(t, got.Create)
		assert.EqualValues(t, 1, got.Number)
		assert.Equal(t, got.Update, got.Current)
	})
	t.Run("a known template is not written again", func(t *testing.T) {
		got := revision.Choose(history, newRevision(t, "app:v2", nil), v1.Name)
		assert.False(t, got.Create)
		assert.Same(t, v2, got.Update)
		assert.Same(t, v1, got.Current)
		assert.EqualValues(t, 2, got.Number)
	})
	t.Run("a template that comes back becomes the newest", func(t *testing.T) {
		got := revision.Choose(history, newRevision(t, "app:v1", nil), v2.Name)
		assert.False(t, got.Create)
		assert.Same(t, v1, got.Update)
		assert.EqualValues(t, 3, got.Number)
	})
}

func TestChooseRecognisesARevisionBySense(t *testing.T) {
	const bytes = `{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"app:v2","name":"main","resources":{}}]}}}}`
	for name, tc := range map[string]struct {
		// data is what somebody else wrote.
		data string
		want bool
	}{
		"the same bytes": {data: bytes, want: true},
		"nulls of older types": {
			data: strings.NewReplacer(`"metadata":{`, `"metadata":{"creationTimestamp":null,`, `"spec":{"containers"`, `"spec":{"volumes":null,"containers"`).Replace(bytes), want: true,
		},
		"another order of the fields": {
			data: `{"spec":{"template":{"spec":{"containers":[{"name":"main","resources":{},"image":"app:v2"}]},"metadata":{"labels":{"app":"web"}},"$patch":"replace"}}}`, want: true,
		},
		"empty lists and maps": {
			data: strings.Replace(bytes, `"resources":{}`, `"resources":{"limits":{}},"env":[],"args":[]`, 1), want: true,
		},
		"the defaults of Kubernetes": {
			data: strings.NewReplacer(`"name":"main"`, `"name":"main","imagePullPolicy":"Always","terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"`,
				`"spec":{"containers"`, `"spec":{"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30,"containers"`).Replace(bytes),
			want: true,
		},
		"another image": {data: strings.Replace(bytes, "v2", "v3", 1)},
		"a pull policy, which the new one leaves out": {data: strings.Replace(bytes, `"name":"main"`, `"name":"main","imagePullPolicy":"IfNotPresent"`, 1), want: true},
		"another grace period":                        {data: strings.Replace(bytes, `"spec":{"containers"`, `"spec":{"terminationGracePeriodSeconds":31,"containers"`, 1)},
		"another label":                               {data: strings.Replace(bytes, `"app":"web"`, `"app":"web","a":"b"`, 1)},
		"what cannot be read at all":                  {data: `{"spec":{"template":[]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			old := newRevision(t, "app:v2", nil)
			old.Name, old.Data.Raw = "web-another", []byte(tc.data)
			got := revision.Choose([]*appsv1.ControllerRevision{old}, newRevision(t, "app:v2", nil), "")
			assert.Equal(t, tc.want, got.Update == old)
			assert.Equal(t, !tc.want, got.Create)
		})
	}
}

func TestChooseMeansTheSameQuantity(t *testing.T) {
	wanted := template("app:v2")
	wanted.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	rev, err := revision.New(revision.Owner{Object: &metav1.ObjectMeta{Name: "web"}, Template: wanted})
	require.NoError(t, err)
	old := rev.DeepCopy()
	old.Data.Raw = []byte(strings.Replace(string(old.Data.Raw), `"cpu":"1"`, `"cpu":"1000m"`, 1))
	require.NotEqual(t, rev.Data.Raw, old.Data.Raw)
	assert.Same(t, old, revision.Choose([]*appsv1.ControllerRevision{old}, rev, "").Update)
}

func TestSurplus(t *testing.T) {
	var history []*appsv1.ControllerRevision
	for _, name := range []string{"web-a", "web-b", "web-c", "web-d"} {
		history = append(history, &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	inUse := func(name string) bool { return name == "web-a" || name == "web-d" }
	assert.Equal(t, history[1:2], revision.Surplus(history, inUse, 1), "the oldest unused revision goes first")
	assert.Empty(t, revision.Surplus(history, inUse, 2))
	assert.Equal(t, history[1:3], revision.Surplus(history, inUse, 0))
}
