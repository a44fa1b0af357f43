// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// inheritance is what a cluster holds that OpenKruise 1.9 ran: a CloneSet and all that belongs to it.
type inheritance struct {
	set       *kruisev1beta1.CloneSet
	revisions []*appsv1.ControllerRevision
	pods      []*corev1.Pod
	claims    []*corev1.PersistentVolumeClaim
}

// inherit reads an inheritance from testdata/takeover.
func inherit(name string) *inheritance {
	file, err := os.Open(filepath.Join("testdata", "takeover", name+".yaml"))
	if err != nil {
		panic(err)
	}
	defer func() { _ = file.Close() }()
	found := &inheritance{}
	decoder := yaml.NewYAMLToJSONDecoder(file)
	for {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err == nil {
			err = found.add(raw)
		}
		if err != nil {
			panic(fmt.Errorf("reading %s: %w", name, err))
		}
	}
}

func (i *inheritance) add(raw json.RawMessage) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(raw, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "CloneSet":
		i.set = &kruisev1beta1.CloneSet{}
		return yaml.UnmarshalStrict(raw, i.set)
	case "ControllerRevision":
		i.revisions = append(i.revisions, &appsv1.ControllerRevision{})
		return yaml.UnmarshalStrict(raw, i.revisions[len(i.revisions)-1])
	case "Pod":
		i.pods = append(i.pods, &corev1.Pod{})
		return yaml.UnmarshalStrict(raw, i.pods[len(i.pods)-1])
	case "PersistentVolumeClaim":
		i.claims = append(i.claims, &corev1.PersistentVolumeClaim{})
		return yaml.UnmarshalStrict(raw, i.claims[len(i.claims)-1])
	default:
		return fmt.Errorf("%s has no place here", kind.Kind)
	}
}

// onStage puts an inheritance into the world of a story, and makes the set the one of its controllers.
func (i *inheritance) onStage(s *stage) {
	for _, rev := range i.revisions {
		s.AddRevision(rev)
	}
	for _, pod := range i.pods {
		pod.OwnerReferences[0].UID = i.inSim().UID
		s.AddPod(pod)
	}
	for _, claim := range i.claims {
		claim.OwnerReferences[0].UID = i.inSim().UID
		s.AddClaim(claim)
	}
}

// inSim is the set as the world of a story knows it.
func (i *inheritance) inSim() *kruisev1beta1.CloneSet {
	set := i.set.DeepCopy()
	set.Namespace, set.UID, set.Generation = "default", "set-1", 1
	return set
}
