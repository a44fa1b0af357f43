// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/dump"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// ReasonWaiting is the reason of a Verdict that an update is not complete.
const ReasonWaiting = "WaitingForContainers"

// Complete says whether the containers of a Pod run what its update asked for. Where the node agent reports from which spec the runtime
// started the very container that runs, that decides: it tells two tags of one image apart from a container that was not restarted, and a container that follows an
// update from one that followed the update before. Elsewhere a container has followed when its image ID differs from the one before the
// update, or when it runs the image that its spec names.
func Complete(f *pods.Facts) plan.Verdict {
	if f.InPlace == nil {
		return plan.Yes()
	}
	for _, name := range slices.Sorted(maps.Keys(f.InPlace.LastContainerStatuses)) {
		if v := followed(f, name); !v.OK {
			return v
		}
	}
	return plan.Yes()
}

// followed says whether one container runs what the update asked for.
func followed(f *pods.Facts, name string) plan.Verdict {
	spec, status := container(f.Pod, name), containerStatus(f.Pod, name)
	if spec == nil {
		return plan.Yes()
	}
	if status == nil {
		return plan.No(ReasonWaiting, "container %s has not started", name)
	}
	last := f.InPlace.LastContainerStatuses[name]
	seems := status.ImageID != "" && status.ImageID != last.ImageID || isSameImage(spec.Image, status.Image)
	if hash := reportedHash(f.Pod, status); hash == KubeletHash(spec) || hash == 0 && seems {
		return plan.Yes()
	}
	if w := status.State.Waiting; w != nil && w.Reason != "" {
		return plan.No(ReasonWaiting, "container %s: %s", name, w.Reason)
	}
	return plan.No(ReasonWaiting, "container %s still runs %s", name, status.Image)
}

// unfinished are the containers that a running update still waits for, with what they come from.
func unfinished(f *pods.Facts) map[string]pub.InPlaceUpdateContainerStatus {
	if f.InPlace == nil || !isUnderWay(f) {
		return nil
	}
	left := maps.Clone(f.InPlace.LastContainerStatuses)
	maps.DeleteFunc(left, func(name string, _ pub.InPlaceUpdateContainerStatus) bool { return followed(f, name).OK })
	return left
}

func container(pod *corev1.Pod, name string) *corev1.Container {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i]
		}
	}
	return nil
}

func containerStatus(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == name {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// isSameImage compares names of images as runtimes spell them: with the default registry and tag written out.
func isSameImage(a, b string) bool { return a != "" && fullImage(a) == fullImage(b) }

func fullImage(image string) string {
	for _, prefix := range []string{"docker.io/", "library/"} {
		image = strings.TrimPrefix(image, prefix)
	}
	if last := image[strings.LastIndexByte(image, '/')+1:]; !strings.ContainsAny(last, ":@") {
		image += ":latest"
	}
	return image
}

// reportedHash is the hash of the spec from which the container that runs was started, as the node agent saw it; zero when it said nothing of
// this container yet.
func reportedHash(pod *corev1.Pod, status *corev1.ContainerStatus) uint64 {
	var report pub.RuntimeContainerMetaSet
	if json.Unmarshal([]byte(pod.Annotations[pub.RuntimeContainerMetaKey]), &report) != nil {
		return 0
	}
	for i := range report.Containers {
		c := &report.Containers[i]
		if c.Name == status.Name && c.ContainerID != "" && c.ContainerID == status.ContainerID {
			return c.Hashes.PlainHash
		}
	}
	return 0
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
