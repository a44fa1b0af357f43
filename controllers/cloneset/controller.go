// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/lru"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/loop/apply"
	"github.com/keelson/keelson/controllers/loop/observe"
	"github.com/keelson/keelson/controllers/loop/register"
	"github.com/keelson/keelson/controllers/loop/report"
	"github.com/keelson/keelson/controllers/plan"
)

// +kubebuilder:rbac:groups=apps.kruise.io,resources=clonesets,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps.kruise.io,resources=clonesets/status,verbs=patch
// +kubebuilder:rbac:groups=apps.kruise.io,resources=clonesets/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=list;watch;create;patch;delete
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler walks one CloneSet from what is observed to what is wanted.
type Reconciler struct {
	client   client.Client
	room     *register.Room
	hands    *apply.Hands
	policy   plan.Policy
	reader   *observe.Reader
	reporter *report.Reporter
	// encoded are the revisions of templates, by the UID of their sets.
	encoded *lru.Cache
}

// Options are the settings of this kind.
type Options struct {
	// Workers is how many CloneSets are worked on at once.
	Workers int
	// Policy holds the feature gates.
	Policy plan.Policy
}

// Register adds the kind to the manager.
func Register(ctx context.Context, room *register.Room, o Options) error {
	r := &Reconciler{
		client: room.Manager.GetClient(), room: room, hands: room.Hands("cloneset-controller"), policy: o.Policy,
		reader: room.Reader, reporter: room.Reporter,
		encoded: lru.New(4096),
	}
	if err := room.Track(ctx, &kruisev1beta1.CloneSet{}); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(room.Manager).
		Named("cloneset").
		For(&kruisev1beta1.CloneSet{}).
		Watches(&corev1.Pod{}, room.OwnerOfPod(kruisev1beta1.GroupVersion.WithKind("CloneSet"), r.setsForOrphan), builder.WithPredicates(register.PodChanged())).
		Owns(&appsv1.ControllerRevision{}).
		Owns(&corev1.PersistentVolumeClaim{}, builder.WithPredicates(register.ClaimChanged())).
		WithOptions(room.Options(register.Queue{Kind: "CloneSet", Workers: o.Workers})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("registering CloneSets: %w", err)
	}
	return nil
}

// Reconcile observes, plans, applies and reports.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	set := &kruisev1beta1.CloneSet{}
	// Nothing but its identity is looked at, so it need not be copied.
	if err := r.client.Get(ctx, req.NamespacedName, set, &client.GetOptions{UnsafeDisableDeepCopy: new(true)}); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if set.DeletionTimestamp != nil {
		r.reader.Forget(set.UID)
		return ctrl.Result{}, nil
	}
	source, wait := r.room.Source(ctx, set.UID)
	if wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	fresh, err := r.readAgain(ctx, req, source)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if fresh.UID != set.UID || fresh.DeletionTimestamp != nil {
		// The cache will tell.
		return ctrl.Result{RequeueAfter: r.room.Inflight.AskAgain(set.UID)}, nil
	}
	set = fresh
	snapshot, err := r.observe(ctx, set, source)
	if err != nil {
		return ctrl.Result{}, err
	}
	pass := Look(snapshot)
	decision := pass.Plan()
	outcome := r.hands.Perform(ctx, set, decision)
	if len(outcome.Failures) > 0 {
		r.reader.Keep(set.UID, snapshot.FreshIDs)
	}
	reported := set.DeepCopy()
	reported.Status = pass.Status(outcome)
	news := report.News{Observed: set, Wanted: reported, Urgent: isUrgent(&set.Status, &reported.Status)}
	unreported, err := r.reporter.Status(ctx, news)
	if err != nil {
		return ctrl.Result{}, err
	}
	return report.Result(ctx, decision, outcome, unreported)
}

// readAgain reads a set after it is known how far the caches are: what was read before that may be older.
func (r *Reconciler) readAgain(ctx context.Context, req ctrl.Request, source observe.Source) (*kruisev1beta1.CloneSet, error) {
	reader, set := client.Reader(r.client), &kruisev1beta1.CloneSet{}
	if source == observe.FromServer {
		reader = r.room.Reader.Live
	}
	return set, reader.Get(ctx, req.NamespacedName, set)
}

// setsForOrphan finds the CloneSets that may want to adopt a Pod.
func (r *Reconciler) setsForOrphan(ctx context.Context, pod client.Object) []reconcile.Request {
	if pod.GetDeletionTimestamp() != nil || len(pod.GetLabels()) == 0 {
		return nil
	}
	var list kruisev1beta1.CloneSetList
	if err := r.client.List(ctx, &list, client.InNamespace(pod.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing CloneSets that may adopt a Pod")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		// Whoever may write Pods in one namespace must not keep the events of all others waiting: selectors, which may be long, are read last.
		if !wasOurs(&list.Items[i], pod) {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(list.Items[i].Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.GetLabels())) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}
