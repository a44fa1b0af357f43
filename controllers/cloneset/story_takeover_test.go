// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// takeOverStories begin where OpenKruise 1.9 stopped.
func takeOverStories() map[string]story {
	settled, short, halfway, volumes := inherit("settled"), inherit("short"), inherit("halfway"), inherit("volumes")
	hooks := inherit("hooks")
	return map[string]story{
		"a set at rest is taken over and nothing is written": {
			set: settled.inSim(), play: func(s *stage) { staysUntouched(s, settled) },
		},
		"a set with short hashes and older Pods is taken over and nothing is written": {
			set: short.inSim(), play: func(s *stage) { staysUntouched(s, short) },
		},
		"a set whose status says nothing of collisions is taken over and nothing is written": {
			set: settled.inSim(), play: func(s *stage) {
				s.controller.set.Status.CollisionCount = nil
				staysUntouched(s, settled)
				s.controller.set.Status.CollisionCount = new(int32)
				s.Script.Scene("the API server shows the default of the count of collisions")
				s.Rest()
				assert.Len(s.t, s.Revisions(), len(settled.revisions), "no revision is made")
			},
		},
		"a set is taken over and then replaced by the file in Git without the defaults": {
			set: settled.inSim(), play: func(s *stage) {
				staysUntouched(s, settled)
				before := s.versions()
				s.User("replaces the set by its file, which says nothing of the defaults", func(b *builder) { *b.set = *plain(b.set) })
				s.Rest()
				assert.Equal(s.t, before, s.versions(), "not one Pod is written to")
			},
		},
		"a set is taken over and then replaced by the file in Git without the defaults and with a new image": {
			set: settled.inSim(), play: func(s *stage) {
				staysUntouched(s, settled)
				isUpdatedInPlaceByItsFile(s)
			},
		},
		"a set with volumes is taken over and then replaced by the file in Git without the defaults and with a new image": {
			set: inherit("volumes").inSim(), play: func(s *stage) {
				volumes.onStage(s)
				s.Script.Scene("given what OpenKruise left behind")
				s.Rest()
				isUpdatedInPlaceByItsFile(s)
			},
		},
		"a set with volumes is taken over with its claims, and a claim that is left finds a Pod": {
			set: volumes.inSim(), play: func(s *stage) {
				volumes.onStage(s)
				before, claims := s.versions(), s.claims()
				s.Script.Scene("given two of three Pods, and the claim of the third")
				s.Rest()
				after := s.versions()
				assert.Contains(s.t, after, "web-left5", "the third Pod has the name and the claim of the one that is gone")
				delete(after, "web-left5")
				assert.Equal(s.t, before, after, "not one Pod is written to")
				assert.Equal(s.t, claims, s.claims(), "no claim is made or removed")
				assert.Len(s.t, s.Revisions(), 1, "no revision is made")
			},
		},
		"a set with volumes is taken over with the gate on, and an update keeps its Pods": {
			set: inherit("volumes").inSim(), play: func(s *stage) {
				s.controller.policy.RecreateOnClaimChange = true
				volumes.onStage(s)
				s.Script.Scene("given claim templates that nobody has changed, and the hash of them that OpenKruise left")
				s.Rest()
				uids := s.UIDs()
				s.User("sets the image to keelson/demo:1.11.0", func(b *builder) { b.Image("keelson/demo:1.11.0") })
				s.Rest()
				assert.Equal(s.t, uids, s.UIDs(), "not one Pod is replaced")
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"Pods that hooks held are taken over and go on to wait for them": {
			set: hooks.inSim(), play: func(s *stage) {
				staysUntouched(s, hooks)
				uids := s.UIDs()
				s.Script.Scene("web-prepa may be updated")
				s.Edit("web-prepa", func(pod *corev1.Pod) { pod.Labels["example.com/serves"] = "false" })
				s.Rest()
				s.Script.Scene("both may serve again, and web-leave may go")
				for _, name := range []string{"web-prepa", "web-again"} {
					s.Edit(name, func(pod *corev1.Pod) { pod.Labels["example.com/serves"] = "true" })
				}
				s.Edit("web-leave", func(pod *corev1.Pod) { pod.Finalizers = nil })
				s.Rest()
				after := s.UIDs()
				assert.Equal(s.t, uids["web-prepa"], after["web-prepa"])
				assert.Equal(s.t, uids["web-again"], after["web-again"])
				assert.NotContains(s.t, after, "web-leave")
				assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
			},
		},
		"a rollout that was left half-way goes on": {
			set: halfway.inSim(), play: func(s *stage) {
				halfway.onStage(s)
				uids := s.UIDs()
				s.Script.Scene("given seven Pods, each at another step from the image 1.10.2 to 1.10.3")
				s.Rest()
				assert.Equal(s.t, uids, s.UIDs(), "not one Pod is replaced")
				assert.Equal(s.t, 7, s.Tally().UpdatedAvailable)
				assert.Len(s.t, s.Revisions(), 2, "no revision is made")
				for _, pod := range s.Pods() {
					assert.EqualValues(s.t, 1, pod.Status.ContainerStatuses[0].RestartCount, "%s restarts once", pod.Name)
				}
			},
		},
	}
}

// staysUntouched lets the controllers look at what they inherit until they are at rest.
func staysUntouched(s *stage, found *inheritance) {
	found.onStage(s)
	before, revisions := s.versions(), len(s.Revisions())
	s.Script.Scene("given what OpenKruise left behind")
	s.Rest()
	assert.Equal(s.t, before, s.versions(), "not one Pod is written to")
	assert.Len(s.t, s.Revisions(), revisions, "no revision is made")
	assert.Equal(s.t, found.set.Status.UpdateRevision, s.controller.set.Status.UpdateRevision)
}

// isUpdatedInPlaceByItsFile applies the file in Git, which has a new image and says nothing of the defaults that OpenKruise wrote into the set.
func isUpdatedInPlaceByItsFile(s *stage) {
	uids, claims, revisions := s.UIDs(), s.claims(), len(s.Revisions())
	s.User("replaces the set by its file, with a new image and without the defaults", func(b *builder) {
		*b.set = *plain(b.set)
		b.InPlaceIfPossible().Image("keelson/demo:1.11.0")
	})
	s.Rest()
	assert.Equal(s.t, uids, s.UIDs(), "not one Pod is replaced")
	assert.Equal(s.t, claims, s.claims(), "nor a claim")
	assert.Len(s.t, s.Revisions(), revisions+1)
	assert.Equal(s.t, 3, s.Tally().UpdatedAvailable)
}

// versions are the identities and versions of all Pods by name.
func (s *stage) versions() map[string]string {
	found := map[string]string{}
	for _, pod := range s.Pods() {
		found[pod.Name] = string(pod.UID) + " " + pod.ResourceVersion
	}
	return found
}

// plain is the set without what Kubernetes would default, as its file in Git has it.
func plain(set *kruisev1beta1.CloneSet) *kruisev1beta1.CloneSet {
	set = set.DeepCopy()
	pod := &set.Spec.Template.Spec
	pod.DNSPolicy, pod.RestartPolicy, pod.SchedulerName, pod.SecurityContext = "", "", "", nil
	for i := range pod.Containers {
		c := &pod.Containers[i]
		c.ImagePullPolicy, c.TerminationMessagePath, c.TerminationMessagePolicy = "", "", ""
		for j := range c.Ports {
			c.Ports[j].Protocol = ""
		}
		if probe := c.ReadinessProbe; probe != nil {
			probe.TimeoutSeconds, probe.SuccessThreshold, probe.FailureThreshold = 0, 0, 0
			probe.HTTPGet.Path, probe.HTTPGet.Scheme = "", ""
		}
	}
	for i := range set.Spec.VolumeClaimTemplates {
		set.Spec.VolumeClaimTemplates[i].Status, set.Spec.VolumeClaimTemplates[i].Spec.VolumeMode = corev1.PersistentVolumeClaimStatus{}, nil
	}
	return set
}
