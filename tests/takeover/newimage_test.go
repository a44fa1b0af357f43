// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/tests/support"
)

// inGit is the set as its users wrote it, and the old suite's webhook never left it: without a single default.
const inGit = `
apiVersion: apps.kruise.io/v1beta1
kind: CloneSet
metadata: {name: web}
spec:
  replicas: 3
  scaleStrategy: {enablePVCReuse: true}
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: IMAGE
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {periodSeconds: 1, httpGet: {port: http}}
        resources: {requests: {cpu: 10m}}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data, labels: {tier: fast}}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
  updateStrategy:
    rollingUpdate: {podUpdatePolicy: InPlaceIfPossible}
`

const (
	imageBefore = "keelson/demo:1.10.3"
	imageAfter  = "keelson/demo:1.11.0"
)

// TestTheFirstNewImageAfterATakeOver rolls a new image out by the file in Git, in each way in which such files come into clusters. Whatever the old suite has
// written into the set goes, or stays, with it: no Pod and no claim is replaced.
func TestTheFirstNewImageAfterATakeOver(t *testing.T) {
	ways := map[string]func(in *inheritance, file string) (string, error){
		"kubectl apply": func(in *inheritance, file string) (string, error) {
			return support.Kubectl(in.Context(), []byte(file), "-n", in.Namespace, "apply", "-f", "-")
		},
		"kubectl replace": func(in *inheritance, file string) (string, error) {
			return support.Kubectl(in.Context(), []byte(file), "-n", in.Namespace, "replace", "-f", "-")
		},
		"the merge patch of Helm": func(in *inheritance, file string) (string, error) {
			// Between two releases Helm sends what differs between their manifests; a list that differs is sent whole.
			var manifest struct {
				Spec struct {
					Template struct {
						Spec map[string]any `json:"spec"`
					} `json:"template"`
				} `json:"spec"`
			}
			require.NoError(in, yaml.Unmarshal([]byte(file), &manifest))
			patch := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": manifest.Spec.Template.Spec["containers"]}}}}
			return support.Kubectl(in.Context(), nil, "-n", in.Namespace, "patch", "cloneset", "web", "--type=merge", "-p", support.JSON(patch))
		},
		"server-side apply": func(in *inheritance, file string) (string, error) {
			return support.Kubectl(in.Context(), []byte(file), "-n", in.Namespace, "apply", "--server-side", "--force-conflicts", "--field-manager=from-git", "-f", "-")
		},
	}
	support.Disrupt(t)
	controllers(t.Context(), t, "0")
	t.Cleanup(func() { controllers(context.Background(), t, "2") })
	found := map[string]*inheritance{}
	for way := range ways {
		found[way] = inherit(t, "volumes")
		lastApplied, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(inGit, "IMAGE", imageBefore)))
		require.NoError(t, err)
		note, err := json.Marshal(string(lastApplied))
		require.NoError(t, err)
		found[way].Patch(&kruisev1beta1.CloneSet{}, "web", `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":`+string(note)+`}}}`)
	}
	controllers(t.Context(), t, "2")
	for way, apply := range ways {
		t.Run(way, func(t *testing.T) {
			in := found[way]
			in.WaitFor("web", "taken over", func(set *kruisev1beta1.CloneSet) bool {
				// What the old suite left says so, too, but has no such condition.
				ready := support.Condition(set, kruisev1beta1.CloneSetConditionReady)
				return ready != nil && ready.Status == corev1.ConditionTrue && set.Status.AvailableReplicas == 3
			})
			pods, claims := in.Pods("app=web"), in.Claims()
			require.Len(t, claims, 3)
			out, err := apply(in, strings.ReplaceAll(inGit, "IMAGE", imageAfter))
			require.NoError(t, err, out)
			in.WaitFor("web", "updated", func(set *kruisev1beta1.CloneSet) bool {
				return set.Status.ObservedGeneration == set.Generation && set.Status.UpdatedAvailableReplicas == 3 && set.Status.Replicas == 3 &&
					set.Spec.Template.Spec.Containers[0].Image == imageAfter
			})
			after := in.Pods("app=web")
			require.Equal(t, support.SortedKeys(pods), support.SortedKeys(after), out)
			for name, pod := range after {
				assert.Equal(t, pods[name].UID, pod.UID, "%s is not replaced", name)
				assert.Equal(t, imageAfter, pod.Spec.Containers[0].Image)
			}
			claimsAfter := in.Claims()
			require.Len(t, claimsAfter, 3)
			for name, claim := range claimsAfter {
				assert.Equal(t, claims[name].UID, claim.UID, "claim %s is not replaced", name)
				assert.Nil(t, claim.DeletionTimestamp)
			}
		})
	}
}
