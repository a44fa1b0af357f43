// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// Images of the local registry: a server that reports its version, and one that is missing.
const (
	ImageV1      = "keelson/demo:1.10.2"
	ImageV2      = "keelson/demo:1.10.3"
	ImageV3      = "keelson/demo:1.11.0"
	ImageSleeper = "keelson/sleeper:v1"
	ImageMissing = "keelson/demo:no-such-tag"
)

// CloneSetBuilder builds a CloneSet as a sentence.
type CloneSetBuilder struct{ set kruisev1beta1.CloneSet }

// MakeCloneSet begins a CloneSet of three Pods with one container, main, that is updated in place where possible.
func MakeCloneSet(name string) *CloneSetBuilder {
	labels := map[string]string{"app": name}
	replicas := int32(3)
	grace := int64(1)
	return &CloneSetBuilder{set: kruisev1beta1.CloneSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: kruisev1beta1.CloneSetSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: &grace,
					Containers: []corev1.Container{{
						Name: "main", Image: ImageV1, ImagePullPolicy: corev1.PullIfNotPresent,
					}},
				},
			},
			UpdateStrategy: kruisev1beta1.CloneSetUpdateStrategy{
				Type: kruisev1beta1.RollingUpdateCloneSetUpdateStrategyType,
				RollingUpdate: &kruisev1beta1.RollingUpdateCloneSetStrategy{
					PodUpdatePolicy: kruisev1beta1.InPlaceIfPossiblePodUpdatePolicyType,
				},
			},
		},
	}}
}

// Obj is the built CloneSet.
func (b *CloneSetBuilder) Obj() *kruisev1beta1.CloneSet { return b.set.DeepCopy() }

// Replicas sets the number of Pods.
func (b *CloneSetBuilder) Replicas(n int32) *CloneSetBuilder {
	b.set.Spec.Replicas = &n
	return b
}

// Image sets the image of the container main.
func (b *CloneSetBuilder) Image(image string) *CloneSetBuilder {
	b.set.Spec.Template.Spec.Containers[0].Image = image
	return b
}

// Sidecar adds a second container, side.
func (b *CloneSetBuilder) Sidecar(image string) *CloneSetBuilder {
	spec := &b.set.Spec.Template.Spec
	spec.Containers = append(spec.Containers, corev1.Container{Name: "side", Image: image, ImagePullPolicy: corev1.PullIfNotPresent})
	return b
}

func (b *CloneSetBuilder) rolling() *kruisev1beta1.RollingUpdateCloneSetStrategy {
	return b.set.Spec.UpdateStrategy.RollingUpdate
}

// Policy sets how Pods are brought to a new revision.
func (b *CloneSetBuilder) Policy(p kruisev1beta1.PodUpdatePolicyType) *CloneSetBuilder {
	b.rolling().PodUpdatePolicy = p
	return b
}

// Partition sets the partition, such as "2" or "40%".
func (b *CloneSetBuilder) Partition(value string) *CloneSetBuilder {
	v := intstr.Parse(value)
	b.rolling().Partition = &v
	return b
}

// MaxUnavailable sets how many Pods may be unavailable, such as "1" or "20%".
func (b *CloneSetBuilder) MaxUnavailable(value string) *CloneSetBuilder {
	v := intstr.Parse(value)
	b.rolling().MaxUnavailable = &v
	return b
}

// MaxSurge sets how many Pods there may be beyond the replicas.
func (b *CloneSetBuilder) MaxSurge(value string) *CloneSetBuilder {
	v := intstr.Parse(value)
	b.rolling().MaxSurge = &v
	return b
}

// Paused pauses the update.
func (b *CloneSetBuilder) Paused() *CloneSetBuilder {
	b.rolling().Paused = true
	return b
}

// GracePeriod sets how long a Pod is drained before its images change, in seconds.
func (b *CloneSetBuilder) GracePeriod(seconds int32) *CloneSetBuilder {
	b.rolling().InPlaceUpdateStrategy = &pub.InPlaceUpdateStrategy{GracePeriodSeconds: seconds}
	return b
}

// MinReadySeconds sets how long a Pod must be ready before it is available.
func (b *CloneSetBuilder) MinReadySeconds(seconds int32) *CloneSetBuilder {
	b.set.Spec.MinReadySeconds = seconds
	return b
}

// History sets how many unused revisions are kept.
func (b *CloneSetBuilder) History(limit int32) *CloneSetBuilder {
	b.set.Spec.RevisionHistoryLimit = &limit
	return b
}

// Lifecycle sets the hooks.
func (b *CloneSetBuilder) Lifecycle(l pub.Lifecycle) *CloneSetBuilder {
	b.set.Spec.Lifecycle = &l
	return b
}

// Hooked lets every Pod be created with the labels and finalizers of a hook.
func (b *CloneSetBuilder) Hooked(hook *pub.LifecycleHook) *CloneSetBuilder {
	template := &b.set.Spec.Template
	template.Labels = maps.Clone(template.Labels)
	maps.Copy(template.Labels, hook.LabelsHandler)
	template.Finalizers = hook.FinalizersHandler
	return b
}

// Deadline sets how long a rollout may go without progress, in seconds.
func (b *CloneSetBuilder) Deadline(seconds int32) *CloneSetBuilder {
	b.set.Spec.ProgressDeadlineSeconds = &seconds
	return b
}

// Text is a percentage, or whatever else a user writes in quotes.
func Text(value string) intstr.IntOrString { return intstr.FromString(value) }

// Number is a number where a percentage may be, too.
func Number(n int) intstr.IntOrString { return intstr.FromInt(n) }
