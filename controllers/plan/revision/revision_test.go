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
	t.Run("a revision that an older writer spelled differently is recognised", func(t *testing.T) {
		old := v2.DeepCopy()
		old.Data.Raw = []byte(strings.Replace(string(old.Data.Raw), `"metadata":{`, `"metadata":{"creationTimestamp":null,`, 1))
		got := revision.Choose([]*appsv1.ControllerRevision{old}, newRevision(t, "app:v2", nil), "")
		assert.Same(t, old, got.Update)
	})
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
