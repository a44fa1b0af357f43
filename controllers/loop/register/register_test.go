// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package register_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/keelson/keelson/controllers/loop/register"
)

func TestPodChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"a new version alone says nothing": {change: func(*corev1.Pod) {}},
		"who manages which field says nothing": {
			change: func(p *corev1.Pod) { p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}} },
		},
		"a label counts":        {change: func(p *corev1.Pod) { p.Labels = map[string]string{"a": "c"} }, want: true},
		"an annotation counts":  {change: func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "b"} }, want: true},
		"a finalizer counts":    {change: func(p *corev1.Pod) { p.Finalizers = []string{"x/y"} }, want: true},
		"an owner counts":       {change: func(p *corev1.Pod) { p.OwnerReferences = []metav1.OwnerReference{{UID: "o"}} }, want: true},
		"a deletion counts":     {change: func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(9, 0)} }, want: true},
		"a changed spec counts": {change: func(p *corev1.Pod) { p.Generation = 2 }, want: true},
		"a node counts":         {change: func(p *corev1.Pod) { p.Spec.NodeName = "n" }, want: true},
		"a phase counts":        {change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			old := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", ResourceVersion: "1", Generation: 1, Labels: map[string]string{"a": "b"}}}
			updated := old.DeepCopy()
			updated.ResourceVersion = "2"
			tc.change(updated)
			assert.Equal(t, tc.want, register.PodChanged().Update(event.UpdateEvent{ObjectOld: old, ObjectNew: updated}))
		})
	}
}
