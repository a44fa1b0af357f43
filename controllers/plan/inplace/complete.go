// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/dump"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// ReasonWaiting is the reason of a Verdict that an update is not complete.
const ReasonWaiting = "WaitingForContainers"

// Complete says whether the containers of a Pod run what the batches of its update so far asked for.
//
// Images: where the node agent reports from which spec the runtime started the very container that runs, that decides: it tells two tags of one
// image apart from a container that was not restarted, and a container that follows an update from one that followed the update before. Elsewhere a
// container has followed when its image ID differs from the one before the update, or when it runs the image that its spec names. Where an update overtook
// another, a kubelet may be in the middle of a pull for that: what then runs has not followed this one.
//
// Environment: the node agent reports a hash of what a container took from labels and annotations when it started.
//
// Resources: the kubelet reports those that are in effect.
//
// The verdict is kept with the Facts: where thousands of Pods wait, an event of one of them does not cost the parsing of all their reports.
func Complete(f *pods.Facts) plan.Verdict {
	if f.InPlace == nil {
		return plan.Yes()
	}
	return f.Completion(complete)
}

func complete(f *pods.Facts) plan.Verdict {
	reports := readReports(f.Pod)
	for _, name := range slices.Sorted(maps.Keys(f.InPlace.LastContainerStatuses)) {
		if _, isLater := f.InPlace.NextContainerImages[name]; isLater {
			continue
		}
		if v := followed(f, name, reports); !v.OK {
			return v
		}
	}
	if v := envFollowed(f, reports); !v.OK {
		return v
	}
	for _, name := range slices.Sorted(maps.Keys(f.InPlace.ContainerResources)) {
		if v := resized(f, name, f.InPlace.ContainerResources[name]); !v.OK {
			return v
		}
	}
	return plan.Yes()
}

// followed says whether one container runs the image that the update asked for.
func followed(f *pods.Facts, name string, reports reports) plan.Verdict {
	spec, status := container(f.Pod, name), containerStatus(f.Pod, name)
	if spec == nil {
		return plan.Yes()
	}
	if status == nil {
		return plan.No(ReasonWaiting, "container %s has not started", name)
	}
	last := f.InPlace.LastContainerStatuses[name]
	seems := isSameImage(spec.Image, status.Image) || hasLeft(last, status)
	// What was stopped for an update that was overtaken may be started for that update still.
	isOpen := len(last.OvertakenImages) > 0 && isStopped(status)
	if hash := reports.of(status).PlainHash; !isOpen && (hash == KubeletHash(spec) || hash == 0 && seems) {
		return plan.Yes()
	}
	if w := status.State.Waiting; w != nil && w.Reason != "" {
		return plan.No(ReasonWaiting, "container %s: %s", name, w.Reason)
	}
	return plan.No(ReasonWaiting, "container %s still runs %s", name, status.Image)
}

// hasLeft says that a container runs another image than before its update, and none that it was on its way to when it was overtaken.
func hasLeft(last pub.InPlaceUpdateContainerStatus, status *corev1.ContainerStatus) bool {
	isOvertaken := slices.ContainsFunc(last.OvertakenImages, func(image string) bool { return isSameImage(image, status.Image) })
	return status.ImageID != "" && status.ImageID != last.ImageID && !isOvertaken
}

// envFollowed says whether all containers have the environment that the metadata of the Pod gives them. One that is in a later batch may be as it is:
// it might not run at all before its turn.
func envFollowed(f *pods.Facts, reports reports) plan.Verdict {
	if !f.InPlace.UpdateEnvFromMetadata {
		return plan.Yes()
	}
	later := laterOf(f.InPlace).Containers()
	for _, c := range LongRunning(&f.Pod.Spec) {
		if slices.Contains(later, c.Name) {
			continue
		}
		if v := hasEnv(f.Pod, c, reports); !v.OK {
			return v
		}
	}
	return plan.Yes()
}

// hasEnv says whether one container has the environment that the metadata of the Pod gives it.
func hasEnv(pod *corev1.Pod, c *corev1.Container, reports reports) plan.Verdict {
	wanted, status := ExpectedEnvHash(c, pod.Labels, pod.Annotations), containerStatus(pod, c.Name)
	switch {
	case wanted == 0:
		return plan.Yes()
	case status == nil || status.ContainerID == "":
		return plan.No(ReasonWaiting, "container %s has not started", c.Name)
	case reports.of(status).ExtractedEnvFromMetadataHash == wanted:
		return plan.Yes()
	case status.State.Waiting != nil && status.State.Waiting.Reason != "":
		return plan.No(ReasonWaiting, "container %s: %s", c.Name, status.State.Waiting.Reason)
	default:
		return plan.No(ReasonWaiting, "container %s: the node agent has not reported yet that its environment follows the metadata", c.Name)
	}
}

// busy are the containers that have been changed and have not followed, by what a state waits for.
func busy(f *pods.Facts, state *pub.InPlaceUpdateState) []string {
	if f.InPlace == nil {
		return nil
	}
	var names []string
	reports := readReports(f.Pod)
	for _, c := range LongRunning(&f.Pod.Spec) {
		_, hasImage := state.LastContainerStatuses[c.Name]
		wanted, hasResources := state.ContainerResources[c.Name]
		switch {
		case hasImage && !followed(f, c.Name, reports).OK,
			hasResources && !resized(f, c.Name, wanted).OK,
			f.InPlace.UpdateEnvFromMetadata && isUnderWay(f) && !hasEnv(f.Pod, c, reports).OK:
			names = append(names, c.Name)
		}
	}
	return names
}

// EnvIsDue says that an update of the Pod's environment is under way, so that the node agent restarts the containers whose environment is not what the
// metadata of the Pod gives them.
func EnvIsDue(f *pods.Facts) bool {
	return f.InPlace != nil && f.InPlace.UpdateEnvFromMetadata && isUnderWay(f)
}

// reports are what the node agent says of the containers of a Pod.
type reports []pub.RuntimeContainerMeta

// readReports reads what the node agent says; nothing when that cannot be read.
func readReports(pod *corev1.Pod) reports {
	text, found := pod.Annotations[pub.RuntimeContainerMetaKey]
	var set pub.RuntimeContainerMetaSet
	if !found || json.Unmarshal([]byte(text), &set) != nil {
		return nil
	}
	return set.Containers
}

// of are the hashes of the very container that runs; zero when the node agent said nothing of it yet.
func (r reports) of(status *corev1.ContainerStatus) pub.RuntimeContainerHashes {
	for i := range r {
		if r[i].Name == status.Name && r[i].ContainerID != "" && r[i].ContainerID == status.ContainerID {
			return r[i].Hashes
		}
	}
	return pub.RuntimeContainerHashes{}
}

// KubeletHash is the hash by which a kubelet of 1.31 or newer recognises a container's spec: FNV-1a over its name and image.
func KubeletHash(c *corev1.Container) uint64 {
	fields, err := json.Marshal(map[string]string{"name": c.Name, "image": c.Image})
	if err != nil {
		return 0
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%v", dump.ForHash(fields))
	return uint64(h.Sum32())
}
