// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package revision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/keelson/keelson/controllers/plan/pods"
)

// HashLabel is the label of a ControllerRevision that holds the hash of its data.
const HashLabel = "controller.kubernetes.io/hash"

// maxOwnerName leaves room for the dash and the hash in a name of 253 characters.
const maxOwnerName = 223

// Owner is the workload whose template is kept.
type Owner struct {
	Object metav1.Object
	// Reference becomes the controller reference of its revisions.
	Reference metav1.OwnerReference
	Template  *corev1.PodTemplateSpec
	// CollisionCount is mixed into the hash; nil and 0 leave it out.
	CollisionCount *int32
}

// New makes the revision of the owner's template, without a number. It fails only when the template cannot be encoded.
func New(owner Owner) (*appsv1.ControllerRevision, error) {
	data, err := encode(owner.Template)
	if err != nil {
		return nil, err
	}
	hash := Hash(data, owner.CollisionCount)
	labels := make(map[string]string, len(owner.Template.Labels)+1)
	for k, v := range owner.Template.Labels {
		labels[k] = v
	}
	labels[HashLabel] = hash
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       owner.Object.GetNamespace(),
			Name:            Name(owner.Object.GetName(), hash),
			Labels:          labels,
			Annotations:     pods.WithoutTracking(owner.Object.GetAnnotations()),
			OwnerReferences: []metav1.OwnerReference{owner.Reference},
		},
		Data: runtime.RawExtension{Raw: data},
	}, nil
}

// encode writes the template as the patch {"spec":{"template":{...,"$patch":"replace"}}}.
// COMPAT: keys are sorted and the bytes are hashed into names.
func encode(template *corev1.PodTemplateSpec) ([]byte, error) {
	raw, err := json.Marshal(template)
	if err != nil {
		return nil, fmt.Errorf("encoding the template: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("encoding the template: %w", err)
	}
	fields["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": fields}})
}

// Template reads the Pod template out of a revision.
func Template(rev *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var data struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(rev.Data.Raw, &data); err != nil {
		return nil, fmt.Errorf("decoding revision %s: %w", rev.Name, err)
	}
	return &data.Spec.Template, nil
}

// Hash is Kubernetes' hash of a revision: FNV-1 over the data and the collision count, in the alphabet of safe names. No collision is the same whether the
// status says 0 or nothing, so that a default that becomes visible renames nothing.
func Hash(data []byte, collisionCount *int32) string {
	h := fnv.New32()
	h.Write(data)
	if collisionCount != nil && *collisionCount != 0 {
		h.Write([]byte(strconv.FormatInt(int64(*collisionCount), 10)))
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}

// Name is the name of a revision: the owner's, shortened if needed, a dash and the hash.
func Name(owner, hash string) string {
	if len(owner) > maxOwnerName {
		owner = owner[:maxOwnerName]
	}
	return owner + "-" + hash
}

// ShortHash is what follows the last dash of a revision's name or label.
func ShortHash(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }

// Matches says that a Pod label, in its full or its short form, means the revision of that name.
func Matches(label, name string) bool {
	return label != "" && (label == name || ShortHash(label) == ShortHash(name))
}

// Sort orders revisions by number, oldest first; equal numbers by creation, then by name.
func Sort(revisions []*appsv1.ControllerRevision) {
	slices.SortStableFunc(revisions, func(a, b *appsv1.ControllerRevision) int {
		if a.Revision != b.Revision {
			return int(min(max(a.Revision-b.Revision, -1), 1))
		}
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// sameAs says of other revisions whether they mean the same as one: the bytes are equal, or the templates that they decode to make the same Pods. An older
// writer spells a template differently: in another order, with nulls, or with Kubernetes' defaults written out.
func sameAs(wanted *appsv1.ControllerRevision) func(*appsv1.ControllerRevision) bool {
	var meant *corev1.PodTemplateSpec
	return func(rev *appsv1.ControllerRevision) bool {
		if bytes.Equal(rev.Data.Raw, wanted.Data.Raw) {
			return true
		}
		found, err := Template(rev)
		if err != nil {
			return false
		}
		if meant == nil {
			if meant, err = Template(wanted); err != nil {
				return false
			}
			meant = pods.Normal(meant)
		}
		return pods.MakeSame(pods.Normal(found), meant)
	}
}

// Choice says which revisions a workload is between, and what to write for that.
type Choice struct {
	// Update is the revision of the template as it is now.
	Update *appsv1.ControllerRevision
	// Current is the revision that all Pods last had; the same as Update when there is no other.
	Current *appsv1.ControllerRevision
	// Create says that Update is not in the history yet.
	Create bool
	// Number is the number that Update has to get; it differs from Update.Revision when an old revision comes back.
	Number int64
}

// Choose finds the wanted revision in the sorted history, or makes it the next one; current is the name in the workload's status.
func Choose(sorted []*appsv1.ControllerRevision, wanted *appsv1.ControllerRevision, current string) Choice {
	c := Choice{Update: wanted, Create: true, Number: 1}
	if len(sorted) > 0 {
		c.Number = sorted[len(sorted)-1].Revision + 1
	}
	isWanted := sameAs(wanted)
	for i, rev := range slices.Backward(sorted) {
		if !isWanted(rev) {
			continue
		}
		c.Update, c.Create = rev, false
		if i == len(sorted)-1 {
			c.Number = rev.Revision
		}
		break
	}
	c.Current = c.Update
	for _, rev := range sorted {
		if rev.Name == current {
			c.Current = rev
		}
	}
	return c
}

// Surplus returns the oldest revisions that are neither in use nor needed to keep limit unused ones.
func Surplus(sorted []*appsv1.ControllerRevision, inUse func(name string) bool, limit int) []*appsv1.ControllerRevision {
	var unused []*appsv1.ControllerRevision
	for _, rev := range sorted {
		if !inUse(rev.Name) {
			unused = append(unused, rev)
		}
	}
	return unused[:max(len(unused)-max(limit, 0), 0)]
}
