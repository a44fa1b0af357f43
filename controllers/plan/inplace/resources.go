// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace

import (
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// Reasons of a Verdict about a resize that the kubelet does not carry out.
const (
	// ReasonDeferred says that the node has no room now, and may have later.
	ReasonDeferred = "ResizeDeferred"
	// ReasonInfeasible says that the node can never hold the Pod with its new resources.
	ReasonInfeasible = "ResizeInfeasible"
	// ReasonRefused says that the API server refuses the resize, be it that the node can never hold the Pod, or that a quota is exceeded.
	ReasonRefused = "ResizeRefused"
	// ReasonResizeError says that the kubelet failed to resize, and tries again.
	ReasonResizeError = "ResizeError"
)

// resizable are the resources that Kubernetes resizes.
func resizable() []corev1.ResourceName {
	return []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
}

// takeResources notes new values of requests and limits that were there before, and puts them into the patched containers. Kubernetes does not
// resize what is added or removed.
func (s *Spec) takeResources(patched, updated []corev1.Container) {
	for i := range patched {
		if i >= len(updated) || updated[i].Name != patched[i].Name {
			return
		}
		before, now := &patched[i].Resources, &updated[i].Resources
		next := corev1.ResourceRequirements{Limits: replaced(before.Limits, now.Limits), Requests: replaced(before.Requests, now.Requests), Claims: before.Claims}
		if change := resourceChange(*before, next); !isNothing(change) {
			if s.Resources == nil {
				s.Resources = map[string]corev1.ResourceRequirements{}
			}
			s.Resources[patched[i].Name] = change
		}
		patched[i].Resources = next
	}
}

// replaced is a list with the new values of what is in both.
func replaced(before, now corev1.ResourceList) corev1.ResourceList {
	out := maps.Clone(before)
	for _, name := range resizable() {
		_, was := before[name]
		if quantity, is := now[name]; was && is {
			out[name] = quantity
		}
	}
	return out
}

// effective are resources as the API server completes them in a new Pod: a request that is missing is as large as the limit.
func effective(r corev1.ResourceRequirements) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{Limits: r.Limits, Requests: maps.Clone(r.Requests)}
	for _, name := range resizable() {
		limit, isLimited := r.Limits[name]
		if _, isRequested := r.Requests[name]; isLimited && !isRequested {
			if out.Requests == nil {
				out.Requests = corev1.ResourceList{}
			}
			out.Requests[name] = limit
		}
	}
	return out
}

// resourceChange is what leads from one to another: the values of CPU and memory that are different or new.
//
//	limits cpu 1 -> limits cpu 2 => limits cpu 2, requests cpu 2: the request follows the limit where none is written
func resourceChange(from, to corev1.ResourceRequirements) corev1.ResourceRequirements {
	from, to = effective(from), effective(to)
	return corev1.ResourceRequirements{Limits: differing(from.Limits, to.Limits), Requests: differing(from.Requests, to.Requests)}
}

func differing(from, to corev1.ResourceList) corev1.ResourceList {
	var out corev1.ResourceList
	for _, name := range resizable() {
		wanted, isWanted := to[name]
		if was, found := from[name]; !isWanted || found && was.Cmp(wanted) == 0 {
			continue
		}
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[name] = wanted
	}
	return out
}

func isNothing(r corev1.ResourceRequirements) bool { return len(r.Limits)+len(r.Requests) == 0 }

// without is a set of changes less the values that another set has too.
func without(all, less map[string]corev1.ResourceRequirements) map[string]corev1.ResourceRequirements {
	out := map[string]corev1.ResourceRequirements{}
	for name, r := range all {
		left := corev1.ResourceRequirements{
			Limits: kept(r.Limits, isMissing(less[name].Limits)), Requests: kept(r.Requests, isMissing(less[name].Requests)),
		}
		if !isNothing(left) {
			out[name] = left
		}
	}
	return out
}

// overlaidAll is a set of changes with a later one on top.
func overlaidAll(base, over map[string]corev1.ResourceRequirements) map[string]corev1.ResourceRequirements {
	out := merged(base, over)
	for name := range base {
		out[name] = overlaid(base[name], over[name])
	}
	return out
}

// overlaid is a change with a later one on top.
func overlaid(base, over corev1.ResourceRequirements) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Limits: merged(base.Limits, over.Limits), Requests: merged(base.Requests, over.Requests)}
}

func merged[M ~map[K]V, K comparable, V any](base, over M) M {
	if len(base)+len(over) == 0 {
		return nil
	}
	out := make(M, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}

// restartsFor says that the container asks to be restarted when one of these resources changes.
func restartsFor(c *corev1.Container, change corev1.ResourceRequirements) bool {
	for _, policy := range c.ResizePolicy {
		_, inLimits := change.Limits[policy.ResourceName]
		_, inRequests := change.Requests[policy.ResourceName]
		if policy.RestartPolicy == corev1.RestartContainer && (inLimits || inRequests) {
			return true
		}
	}
	return false
}

// unwritten is what of the wanted resources the Pod's specification does not say yet.
func unwritten(pod *corev1.Pod, wanted map[string]corev1.ResourceRequirements) map[string]corev1.ResourceRequirements {
	if len(wanted) == 0 {
		return nil
	}
	left := map[string]corev1.ResourceRequirements{}
	for name, resources := range wanted {
		c := container(pod, name)
		if c == nil {
			continue
		}
		change := corev1.ResourceRequirements{
			Limits: differing(c.Resources.Limits, resources.Limits), Requests: differing(c.Resources.Requests, resources.Requests),
		}
		if !isNothing(change) {
			left[name] = change
		}
	}
	return left
}

// resized says whether a container has the resources that it should get.
func resized(f *pods.Facts, name string, wanted corev1.ResourceRequirements) plan.Verdict {
	status := containerStatus(f.Pod, name)
	switch {
	case container(f.Pod, name) == nil:
		return plan.Yes()
	case isResizing(f.Pod):
	case status != nil && status.Resources != nil && has(status.Resources.Limits, wanted.Limits) && has(status.Resources.Requests, wanted.Requests):
		return plan.Yes()
	}
	if v := pendingResize(f.Pod); !v.OK {
		return v
	}
	return plan.No(ReasonWaiting, "container %s has its old resources", name)
}

// isResizing says that the kubelet is about to change containers, perhaps to something that is not wanted any more.
func isResizing(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodResizeInProgress && c.Status == corev1.ConditionTrue
	})
}

func has(actual, wanted corev1.ResourceList) bool { return len(differing(actual, wanted)) == 0 }

// ResizeProblem is positive, unless an update of the Pod's resources is under way and the kubelet says that it cannot make it now, or at all.
func ResizeProblem(f *pods.Facts) plan.Verdict {
	if f.InPlace == nil || !f.InPlace.UpdateResources || !isUnderWay(f) {
		return plan.Yes()
	}
	return pendingResize(f.Pod)
}

// Refusal is positive, unless a failure is that of a resize which the API server refuses: asking again will not help until somebody changes something.
// Kubernetes 1.36 refuses what is infeasible, instead of leaving that to the kubelet.
func Refusal(failure plan.Failure) plan.Verdict {
	err := failure.Err
	isRefused := apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
	if failure.Subresource != resizeSubresource || !isRefused {
		return plan.Yes()
	}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		err = errors.New(status.Status().Message)
	}
	return plan.No(ReasonRefused, "Pod %s cannot have its new resources: %s", failure.Action.Object.GetName(), err)
}

func pendingResize(pod *corev1.Pod) plan.Verdict {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == corev1.PodResizePending && c.Reason == corev1.PodReasonInfeasible:
			return plan.No(ReasonInfeasible, "the node can never give Pod %s its new resources: %s", pod.Name, c.Message)
		case c.Type == corev1.PodResizePending:
			return plan.No(ReasonDeferred, "the node cannot give Pod %s its new resources now: %s", pod.Name, c.Message)
		case c.Type == corev1.PodResizeInProgress && c.Reason == corev1.PodReasonError:
			return plan.No(ReasonResizeError, "the node failed to give Pod %s its new resources: %s", pod.Name, c.Message)
		}
	}
	return plan.Yes()
}

// qosClass is the class that Kubernetes gives a Pod of this specification. Resources of the Pod as a whole decide alone, and do not change in place.
func qosClass(spec *corev1.PodSpec) corev1.PodQOSClass {
	if spec.Resources != nil {
		return ""
	}
	isGuaranteed, isBestEffort := true, true
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			guaranteed, nothing := qosOf(list[i].Resources)
			isGuaranteed, isBestEffort = isGuaranteed && guaranteed, isBestEffort && nothing
		}
	}
	switch {
	case isBestEffort:
		return corev1.PodQOSBestEffort
	case isGuaranteed:
		return corev1.PodQOSGuaranteed
	default:
		return corev1.PodQOSBurstable
	}
}

// qosOf says whether limits guarantee all that is requested, or nothing is said at all.
func qosOf(r corev1.ResourceRequirements) (isGuaranteed, isNothing bool) {
	isGuaranteed, isNothing = true, true
	r = effective(r)
	for _, name := range resizable() {
		request, limit := r.Requests[name], r.Limits[name]
		isNothing = isNothing && request.IsZero() && limit.IsZero()
		isGuaranteed = isGuaranteed && !limit.IsZero() && request.Cmp(limit) == 0
	}
	return isGuaranteed, isNothing
}
