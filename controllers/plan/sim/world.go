// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keelson/keelson/controllers/plan"
)

// Chance draws numbers from 0 to n-1; a seeded *rand.Rand of math/rand/v2 is one.
type Chance interface {
	IntN(n int) int
}

// Image is how a container behaves that is started from it.
type Image struct {
	// Missing says that it can never be pulled.
	Missing bool
	// Crashes says that its process ends soon after it starts.
	Crashes bool
	// Digest identifies its content; two names may share one. Empty means the name itself.
	Digest string
}

// World is one namespace of a cluster. Objects in it are never changed in place: a write replaces them, so that whoever holds one from before
// still sees what was.
type World struct {
	// Now is the time; only Wait and the test move it.
	Now time.Time
	// Images says how images behave; one that is not listed works.
	Images map[string]Image
	// Nodes are the names of the nodes.
	Nodes []string
	// Zones are the zones of nodes. A Pod gets the one of its node as a label when it is bound, as from an API server; nodes that are not listed
	// have none.
	Zones map[string]string
	// Chance chooses the order in which concurrent actions are performed, and when faults strike; nil keeps the order as planned and strikes never.
	Chance Chance
	// Faults says how often writes go wrong. Others are due whatever chance says: see Inject.
	Faults Faults
	// Kubelets says how they deal with a change of image that comes while they are about to start a container.
	Kubelets Pace
	// Agents says that the node agent runs on all nodes.
	Agents bool
	// TooMuch is how much CPU no node can give to one Pod; zero means any amount can be given.
	TooMuch resource.Quantity
	// Refuses says that the API server refuses a resize to TooMuch, as that of Kubernetes 1.36 does; otherwise the kubelet calls it infeasible.
	Refuses bool
	// Full says that no node has room now for a Pod that wants more CPU than it has.
	Full bool
	// Memory is told of the controllers' writes as the hands tell of theirs; nil tells nobody. What is told for one pass belongs to one owner.
	Memory Memory
	// Script is told what happens; nil tells nobody.
	Script *Script
	// Watch is shown every change of a Pod, a revision or a claim, as a watch would: the first is nil for a new object, the second for one that is gone.
	Watch func(old, updated plan.Object)

	next      []Fault
	pods      map[string]*corev1.Pod
	revisions map[string]*appsv1.ControllerRevision
	// templates are those of the revisions, by UID, once they have been read.
	templates map[types.UID]*corev1.PodTemplateSpec
	claims    map[string]*corev1.PersistentVolumeClaim
	// served are the claims that a Pod was created with; dismissed are those whose Pod the controllers deleted.
	served, dismissed map[types.UID]bool

	kubelet map[types.UID]map[string]*container
	aliases map[string]string
	version int64
	// born is how many IDs are used up.
	born int
	// watch is shown each write of the controllers.
	watch func(Write)
}

// Pace is how up to date a kubelet is when it starts a container.
type Pace string

const (
	// Prompt kubelets start a container from the image that the Pod names at that moment.
	Prompt Pace = ""
	// Slow kubelets start it from the image that the Pod named when the container before was stopped, as one that is in the middle of a
	// pull does; they notice the next change afterwards.
	Slow Pace = "slow"
)

// Start is when every world begins.
func Start() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

// NewWorld makes an empty world with three nodes.
func NewWorld() *World {
	return &World{
		Now:       Start(),
		Images:    map[string]Image{},
		Nodes:     []string{"node-1", "node-2", "node-3"},
		pods:      map[string]*corev1.Pod{},
		revisions: map[string]*appsv1.ControllerRevision{},
		templates: map[types.UID]*corev1.PodTemplateSpec{},
		claims:    map[string]*corev1.PersistentVolumeClaim{},
		served:    map[types.UID]bool{},
		dismissed: map[types.UID]bool{},
		kubelet:   map[types.UID]map[string]*container{},
		aliases:   map[string]string{},
	}
}

// Pods are all Pods that have a controller, sorted by name.
func (w *World) Pods() []*corev1.Pod {
	return slices.DeleteFunc(sortedValues(w.pods), func(pod *corev1.Pod) bool { return metav1.GetControllerOfNoCopy(pod) == nil })
}

// Strangers are the Pods without a controller, sorted by name.
func (w *World) Strangers() []*corev1.Pod {
	return slices.DeleteFunc(sortedValues(w.pods), func(pod *corev1.Pod) bool { return metav1.GetControllerOfNoCopy(pod) != nil })
}

// Pod is the Pod of that name, or nil.
func (w *World) Pod(name string) *corev1.Pod { return w.pods[name] }

// Revisions are all ControllerRevisions, sorted by name.
func (w *World) Revisions() []*appsv1.ControllerRevision { return sortedValues(w.revisions) }

func sortedValues[T any](m map[string]T) []T {
	out := make([]T, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[key])
	}
	return out
}

// FreshIDs are names for new Pods: a, b, ..., z, aa, ab, ... in the order of their use, so that a story can be read. IDs are never used twice.
func (w *World) FreshIDs(n int) []string {
	ids := make([]string, 0, n)
	for i := range n {
		ids = append(ids, letters(w.born+i))
	}
	return ids
}

// use marks the ID in a Pod's name as used, and with it those that were offered before it.
func (w *World) use(pod string) {
	id := pod[strings.LastIndexByte(pod, '-')+1:]
	for i, offered := range w.FreshIDs(1000) {
		if offered == id {
			w.born += i + 1
			return
		}
	}
}

func letters(n int) string {
	name := ""
	for n >= 0 {
		name = string(rune('a'+n%26)) + name
		n = n/26 - 1
	}
	return name
}

// AddRevision puts a ControllerRevision into the world that others made.
func (w *World) AddRevision(rev *appsv1.ControllerRevision) {
	rev = rev.DeepCopy()
	w.register(&rev.ObjectMeta, "revision")
	w.revisions[rev.Name] = rev
	w.show(nil, rev)
	w.aliases[rev.Name] = fmt.Sprintf("r%d", len(w.aliases)+1)
}

// Edit changes a Pod on behalf of somebody else than the controllers. It does nothing when the Pod is gone.
func (w *World) Edit(name string, change func(*corev1.Pod)) {
	old := w.pods[name]
	if old == nil {
		return
	}
	pod := old.DeepCopy()
	change(pod)
	w.store(pod)
}

// DeletePod deletes a Pod on behalf of somebody else than the controllers.
func (w *World) DeletePod(name string) {
	if pod := w.pods[name]; pod != nil {
		w.terminate(pod)
	}
}

// Wait moves the clock.
func (w *World) Wait(d time.Duration) { w.Now = w.Now.Add(d) }

// stamp is the time as the API server keeps it.
func (w *World) stamp() metav1.Time { return metav1.NewTime(w.Now.Truncate(time.Second)) }

// register gives a new object what an API server gives it.
func (w *World) register(meta *metav1.ObjectMeta, kind string) {
	w.version++
	meta.UID = types.UID(fmt.Sprintf("%s-%d", kind, w.version))
	meta.ResourceVersion = strconv.FormatInt(w.version, 10)
	meta.CreationTimestamp = w.stamp()
	meta.Generation = 1
}

// store replaces a Pod by its next version.
func (w *World) store(pod *corev1.Pod) {
	w.version++
	pod.ResourceVersion = strconv.FormatInt(w.version, 10)
	old := w.pods[pod.Name]
	w.pods[pod.Name] = pod
	w.show(old, pod)
}

// show tells the watch of a change.
func (w *World) show(old, updated plan.Object) {
	if w.Watch != nil {
		w.Watch(old, updated)
	}
}

func (w *World) remove(pod *corev1.Pod) {
	delete(w.pods, pod.Name)
	w.show(pod, nil)
	delete(w.kubelet, pod.UID)
	w.collectClaims(pod)
}

// terminate deletes a Pod: at once where no kubelet has it, else the kubelet ends it first. A finalizer keeps it either way.
func (w *World) terminate(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		return
	}
	isEnded := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	if len(pod.Finalizers) == 0 && (pod.Spec.NodeName == "" || isEnded) {
		w.remove(pod)
		return
	}
	grace := int64(30)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	ending := pod.DeepCopy()
	due := metav1.NewTime(w.stamp().Add(time.Duration(grace) * time.Second))
	ending.DeletionTimestamp, ending.DeletionGracePeriodSeconds = &due, &grace
	w.store(ending)
}

// Alias is a short name for a revision: r1, r2, ... in the order in which they were made. The label may be in its short form.
func (w *World) Alias(revision string) string {
	if alias, found := w.aliases[revision]; found {
		return alias
	}
	for name, alias := range w.aliases {
		if revision != "" && strings.HasSuffix(name, "-"+revision) {
			return alias
		}
	}
	return "unknown revision " + revision
}

// Shorten replaces the names of revisions in a text by their short names.
func (w *World) Shorten(text string) string {
	for _, name := range slices.Sorted(maps.Keys(w.aliases)) {
		text = strings.ReplaceAll(text, name, w.aliases[name])
	}
	return text
}

func (w *World) tell(actor, format string, args ...any) {
	if w.Script != nil {
		w.Script.Tell(actor, format, args...)
	}
}
