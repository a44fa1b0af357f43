// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/api/apps/pub"
)

// trial is a judge before whom three Pods of a set of three serve.
type trial struct {
	*judge
	clock time.Time
}

func (c *trial) pod(name string, change func(*corev1.Pod)) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue}, {Type: pub.InPlaceUpdateReady, Status: corev1.ConditionTrue},
		}},
	}
	change(pod)
	c.see(pod, false)
}

func (c *trial) drain(name string) {
	c.pod(name, func(pod *corev1.Pod) { pod.Status.Conditions[1].Status = corev1.ConditionFalse })
}

func (c *trial) crash(name string) {
	c.pod(name, func(pod *corev1.Pod) { pod.Status.Conditions[0].Status = corev1.ConditionFalse })
}

// held serves while its hook holds it; change is what somebody changes of it then.
func (c *trial) held(name string, change func(*corev1.Pod)) {
	c.pod(name, func(pod *corev1.Pod) {
		pod.Labels[drainLabel] = "me"
		change(pod)
	})
}

// runs serves, with an image.
func (c *trial) runs(name, image string) {
	c.pod(name, func(pod *corev1.Pod) { pod.Spec.Containers = []corev1.Container{{Image: image}} })
}

// prepares is asked for by its hook before it is updated.
func (c *trial) prepares(name string) {
	c.pod(name, func(pod *corev1.Pod) { pod.Labels[pub.LifecycleStateKey] = string(pub.LifecycleStatePreparingUpdate) })
}

func (c *trial) end(name string) {
	c.pod(name, func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: c.clock} })
}

func (c *trial) serve(name string) { c.pod(name, func(*corev1.Pod) {}) }

func TestTheJudge(t *testing.T) {
	for sentence, tc := range map[string]struct {
		isKept bool
		// partition is how many of three Pods keep an old image.
		partition int
		play      func(*trial)
		want      string
	}{
		"one drained Pod is within the promise": {play: func(c *trial) { c.drain("a") }},
		"two are not":                           {play: func(c *trial) { c.drain("a"); c.drain("b") }, want: "drains b"},
		"one after the other is": {play: func(c *trial) {
			c.drain("a")
			c.serve("a")
			c.drain("b")
		}},
		"one beside a Pod that a fault broke long ago is not": {play: func(c *trial) {
			c.crash("a")
			c.clock = c.clock.Add(time.Minute)
			c.drain("b")
		}, want: "drains b"},
		"nor beside one that a fault deleted long ago": {play: func(c *trial) {
			c.blame("a", "deleted")
			c.end("a")
			c.clock = c.clock.Add(time.Minute)
			c.drain("b")
		}, want: "drains b"},
		"one beside a Pod that a fault broke just now is": {play: func(c *trial) {
			c.crash("a")
			c.drain("b")
		}},
		"two beside one that a fault broke just now are not": {play: func(c *trial) {
			c.drain("a")
			c.crash("b")
			c.drain("c")
		}, want: "drains c"},
		"one beside a broken one, while the controllers are blind, is": {play: func(c *trial) {
			c.crash("a")
			c.blind(c.clock.Add(2 * time.Minute))
			c.clock = c.clock.Add(20 * time.Second)
			c.drain("b")
		}},
		"but not for as long as they are": {play: func(c *trial) {
			c.crash("a")
			c.blind(c.clock.Add(2 * time.Minute))
			c.clock = c.clock.Add(time.Minute)
			c.drain("b")
		}, want: "drains b"},
		"nor again and again": {play: func(c *trial) {
			c.crash("a")
			for range 3 {
				c.drain("b")
				c.serve("b")
			}
		}, want: "drains b"},
		"a Pod that is led away to its hook counts like a drained one": {play: func(c *trial) { c.prepares("a"); c.prepares("b") }, want: "leads b away"},
		"and is not broken by a fault":                                 {play: func(c *trial) { c.prepares("a"); c.drain("b") }, want: "drains b"},
		"a Pod that its hook holds may change its labels": {play: func(c *trial) {
			c.held("a", func(*corev1.Pod) {})
			c.held("a", func(pod *corev1.Pod) { pod.Labels["more"] = "yes" })
		}},
		"but not its image": {play: func(c *trial) {
			c.held("a", func(pod *corev1.Pod) { pod.Spec.Containers = []corev1.Container{{Image: "v1"}} })
			c.held("a", func(pod *corev1.Pod) { pod.Spec.Containers = []corev1.Container{{Image: "v2"}} })
		}, want: "a of web is updated while its hook holds it"},
		"as many Pods as the partition lets may have the new image": {partition: 1, play: func(c *trial) {
			c.wants("web", "v2")
			c.runs("a", "v2")
			c.runs("b", "v2")
			c.runs("c", "v1")
		}},
		"one more may not": {partition: 1, play: func(c *trial) {
			c.wants("web", "v2")
			c.runs("a", "v2")
			c.runs("b", "v2")
			c.runs("c", "v2")
		}, want: "web has 3 Pods with v2, and may have 2"},
		"a Pod that does not serve is free": {play: func(c *trial) {
			c.drain("a")
			c.crash("b")
			c.drain("b")
		}},
		"a deleted Pod counts like a drained one": {play: func(c *trial) { c.drain("a"); c.end("b") }, want: "deletes b"},
		"a Pod that nobody's fault took is lost":  {isKept: true, play: func(c *trial) { c.end("a") }, want: "a of web is lost"},
		"a Pod that was gone when the judge could look again is lost": {isKept: true, play: func(c *trial) {
			c.seeAll([]corev1.Pod{*c.pods["b"].pod, *c.pods["c"].pod})
		}, want: "a of web is lost"},
		"a Pod that a fault took is not": {isKept: true, play: func(c *trial) {
			c.blame("a", "evicted")
			c.end("a")
		}},
		"five Pods are one too many": {play: func(c *trial) { c.serve("d"); c.serve("e") }, want: "web has 5 Pods, and may have 4"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c := &trial{judge: newJudge(map[string]promise{"web": {replicas: 3, maxSurge: 1, maxUnavailable: 1, isKept: tc.isKept, partition: tc.partition}}), clock: time.Unix(1767225600, 0)}
			c.now = func() time.Time { return c.clock }
			for _, name := range []string{"a", "b", "c"} {
				c.serve(name)
			}
			tc.play(c)
			verdicts := c.sentence().verdicts
			if tc.want == "" {
				assert.Empty(t, verdicts)
				return
			}
			if assert.Len(t, verdicts, 1) {
				assert.Contains(t, verdicts[0], tc.want)
			}
		})
	}
}
