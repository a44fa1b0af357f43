// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// seen is a Pod at a version, which is ready unless something is changed of it.
func seen(name, version string, change ...func(*corev1.Pod)) corev1.Pod {
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(&pod)
	}
	return pod
}

func notReady(pod *corev1.Pod) { pod.Status.Conditions = nil }

func ending(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }

func listOf(version string, pods ...corev1.Pod) corev1.PodList {
	return corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: version}, Items: pods}
}

func TestAWitnessRemembersTheWorstThatItSaw(t *testing.T) {
	lists := make(chan corev1.PodList, 2)
	watches := make(chan *watch.FakeWatcher, 2)
	w := &Witness{Chronicle: Chronicle[corev1.Pod]{suite: &Suite{T: t}}, least: 99, list: &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			list := <-lists
			return &list, nil
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return <-watches, nil },
	}}
	first, second := watch.NewFake(), watch.NewFake()
	watches <- first
	watches <- second
	lists <- listOf("9", seen("a", "7"), seen("b", "8"), seen("gone", "9", ending))
	version, err := w.look(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{2, 2}, []int{w.least, w.most}, "one that is about to go does not count")
	go lookOn(t.Context(), w.list, version, w.look, func(event watch.Event) {
		if pod, isPod := event.Object.(*corev1.Pod); isPod {
			w.see(event.Type, pod)
		}
	})
	now := listOf("11", seen("a", "10", notReady), seen("b", "8"))
	assert.False(t, w.hasSeen(&now), "a newer version was not seen")
	first.Modify(&now.Items[0])
	require.Eventually(t, func() bool { return w.hasSeen(&now) }, 10*time.Second, time.Millisecond)
	later := listOf("11", seen("a", "10"))
	assert.False(t, w.hasSeen(&later), "the end of a Pod was not seen")
	created := seen("c", "12", notReady)
	first.Add(&created)
	require.Eventually(t, func() bool { return w.hasSeen(new(listOf("12", now.Items[0], now.Items[1], created))) }, 10*time.Second, time.Millisecond)
	assert.True(t, w.hasSeen(&now), "a Pod that is newer than the list is not in it")

	lists <- listOf("20", seen("a", "17", notReady), seen("b", "18", notReady), seen("c", "19", notReady), seen("d", "20", notReady))
	first.Error(&metav1.Status{Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "the past is forgotten"})
	last := seen("c", "21")
	second.Modify(&last)
	require.Eventually(t, func() bool {
		return w.hasSeen(new(listOf("21", seen("a", "17"), seen("b", "18"), last, seen("d", "20"))))
	}, 10*time.Second, time.Millisecond)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	assert.Equal(t, []int{0, 4, 2}, []int{w.least, w.most, w.looks}, "who missed what happened looks at all that there is")
}
