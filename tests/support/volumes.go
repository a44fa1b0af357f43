// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"fmt"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s"
)

// ImageKeeper counts its starts in the file that its argument names, and logs "start 1", "start 2", ...
const ImageKeeper = "keelson/keeper:v1"

// VolumeSize is the size of the volumes that Volumes makes, and what Volume asks for.
const VolumeSize = "1Mi"

// Volumes makes a storage class without a provisioner, named after the test's namespace, and n volumes of it on each node, so that n claims find theirs wherever their
// Pods go. A volume is removed together with its claim.
func (s *Suite) Volumes(n int) (class string) {
	s.Helper()
	class = s.Namespace
	binding := storagev1.VolumeBindingWaitForFirstConsumer
	s.createForAll(&storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: class}, Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &binding,
	})
	s.volumesOf(class, n)
	return class
}

// VolumesOfNoClass makes n volumes on each node for claims that name no class, where the cluster has no class that is the default.
func (s *Suite) VolumesOfNoClass(n int) {
	s.Helper()
	s.volumesOf("", n)
}

func (s *Suite) volumesOf(class string, n int) {
	s.Helper()
	var nodes corev1.NodeList
	require.NoError(s, s.retried(func(ctx context.Context) error { return s.Resources.List(ctx, &nodes) }))
	require.NotEmpty(s, nodes.Items)
	folder := corev1.HostPathDirectoryOrCreate
	for i := range n * len(nodes.Items) {
		name := fmt.Sprintf("%s-%d", s.Namespace, i)
		node := nodes.Items[i%len(nodes.Items)].Labels[corev1.LabelHostname]
		s.createForAll(&corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeSpec{
				StorageClassName:              class,
				AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
				PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
				// NOTE: Kubernetes removes folders of volumes below /tmp and nowhere else.
				PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp/keelson-volumes/" + name, Type: &folder}},
				NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
				}}}},
			},
		})
	}
}

// createForAll creates an object that belongs to no namespace, and removes it when the test ends. Objects in use go with their user.
func (s *Suite) createForAll(object k8s.Object) {
	s.Helper()
	require.NoError(s, s.Resources.Create(s.Context(), object))
	s.Cleanup(func() { _ = s.Resources.Delete(context.Background(), object) })
}

// Claims lists the PersistentVolumeClaims of the test's namespace by name, those that are being deleted too.
func (s *Suite) Claims() map[string]corev1.PersistentVolumeClaim {
	s.Helper()
	var list corev1.PersistentVolumeClaimList
	require.NoError(s, s.retried(func(ctx context.Context) error { return s.Resources.WithNamespace(s.Namespace).List(ctx, &list) }))
	claims := map[string]corev1.PersistentVolumeClaim{}
	for _, claim := range list.Items {
		claims[claim.Name] = claim
	}
	return claims
}

// Volume adds a template for a volume, and mounts it below /volumes into the container main.
func (b *CloneSetBuilder) Volume(name, class string) *CloneSetBuilder {
	b.set.Spec.VolumeClaimTemplates = append(b.set.Spec.VolumeClaimTemplates, corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(VolumeSize)}},
		},
	})
	main := &b.set.Spec.Template.Spec.Containers[0]
	main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/volumes/" + name})
	return b
}

// ReuseVolumes keeps the claims of Pods that others delete.
func (b *CloneSetBuilder) ReuseVolumes() *CloneSetBuilder {
	b.set.Spec.ScaleStrategy.EnablePVCReuse = true
	return b
}

// Keeper lets the container main count its starts on a volume.
func (b *CloneSetBuilder) Keeper(volume string) *CloneSetBuilder {
	root := int64(0)
	main := &b.set.Spec.Template.Spec.Containers[0]
	main.Image, main.Args = ImageKeeper, []string{"/volumes/" + volume + "/starts"}
	// The folder of a volume on a node belongs to root.
	main.SecurityContext = &corev1.SecurityContext{RunAsUser: &root}
	return b
}
