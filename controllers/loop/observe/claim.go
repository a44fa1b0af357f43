// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keelson/keelson/controllers/loop/inflight"
)

// Owner is the workload whose children are observed.
type Owner struct {
	Object   client.Object
	Kind     schema.GroupVersionKind
	Selector labels.Selector
	// MayAdopt reports whether an orphan that the selector matches was the owner's before, or that of one of its name; nil adopts none.
	MayAdopt func(orphan client.Object) bool
	// Unreleased is told of a child that does not match the selector any more and that cannot be let go, as where somebody's policy forbids it; it is not observed, and
	// the others are. Nil ends the observation with the error.
	Unreleased func(child client.Object, err error)
}

// claims decides for each child whether it belongs to the owner, and writes what has to change for that: a child that no longer matches the
// selector is released, an orphan that matches and was the owner's before is adopted.
type claims struct {
	*Reader
	owner Owner
	// unreleased is why a child could not be let go in this pass. Who is forbidden to let one go is not asked about hundreds.
	unreleased error
	// live is asked once, before the first adoption: an owner that was deleted or replaced must not take anything.
	live    error
	isAsked bool
}

// claim returns the child as it is when it belongs to the owner, and nil when it does not. One that was just adopted is returned as the
// API server answered, so that nobody creates another in its place.
func (c *claims) claim(ctx context.Context, child client.Object) (client.Object, error) {
	matches := c.owner.Selector.Matches(labels.Set(child.GetLabels()))
	controller := metav1.GetControllerOfNoCopy(child)
	switch {
	case controller != nil && controller.UID != c.owner.Object.GetUID():
		return nil, nil
	case controller != nil && matches:
		return child, nil
	case controller != nil:
		return nil, c.letGo(ctx, child)
	case !matches || !c.mayAdopt(child):
		return nil, nil
	}
	if err := c.askLive(ctx); err != nil {
		return nil, err
	}
	adopted, err := c.adopt(ctx, child)
	if err != nil {
		return nil, ignoreOvertaken(err)
	}
	return adopted, nil
}

// letGo releases a child, or tells that it could not.
func (c *claims) letGo(ctx context.Context, child client.Object) error {
	if c.unreleased == nil {
		_, err := c.release(ctx, child)
		if err = ignoreOvertaken(err); err == nil || c.owner.Unreleased == nil {
			return err
		}
		c.unreleased = err
	}
	c.owner.Unreleased(child, c.unreleased)
	return nil
}

// mayAdopt reports whether an orphan that matches is to be taken, as far as that can be said without asking anybody.
func (c *claims) mayAdopt(orphan client.Object) bool {
	isLeaving := orphan.GetDeletionTimestamp() != nil || c.owner.Object.GetDeletionTimestamp() != nil
	return !isLeaving && c.owner.MayAdopt != nil && c.owner.MayAdopt(orphan)
}

// ignoreOvertaken drops the error of a write that the world was faster than; an event will tell.
func ignoreOvertaken(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return err
}

var errOwnerGone = errors.New("the owner has been deleted or replaced")

func (c *claims) askLive(ctx context.Context) error {
	if c.isAsked {
		return c.live
	}
	c.isAsked = true
	fresh := &metav1.PartialObjectMetadata{}
	fresh.SetGroupVersionKind(c.owner.Kind)
	err := c.Live.Get(ctx, client.ObjectKeyFromObject(c.owner.Object), fresh)
	if err == nil && (fresh.UID != c.owner.Object.GetUID() || fresh.DeletionTimestamp != nil) {
		err = errOwnerGone
	}
	if err != nil {
		c.live = fmt.Errorf("asking whether the owner may adopt: %w", err)
	}
	return c.live
}

func (c *claims) release(ctx context.Context, child client.Object) (client.Object, error) {
	log.FromContext(ctx).V(1).Info("releasing a child that no longer matches the selector", "child", child.GetName())
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"ownerReferences":[{"$patch":"delete","uid":%q}]}}`, child.GetUID(), c.owner.Object.GetUID())
	return c.write(ctx, child, patch)
}

func (c *claims) adopt(ctx context.Context, child client.Object) (client.Object, error) {
	log.FromContext(ctx).V(1).Info("adopting an orphan that matches the selector", "child", child.GetName())
	patch := fmt.Sprintf(
		`{"metadata":{"uid":%q,"ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q,"controller":true,"blockOwnerDeletion":true}]}}`,
		child.GetUID(), c.owner.Kind.GroupVersion().String(), c.owner.Kind.Kind, c.owner.Object.GetName(), c.owner.Object.GetUID())
	return c.write(ctx, child, patch)
}

func (c *claims) write(ctx context.Context, child client.Object, patch string) (client.Object, error) {
	kind, err := inflight.KindOf(c.Client, child)
	if err != nil {
		return nil, fmt.Errorf("changing the owner of %s: %w", child.GetName(), err)
	}
	target := child.DeepCopyObject().(client.Object)
	if err := c.Client.Patch(ctx, target, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		return nil, fmt.Errorf("changing the owner of %s: %w", child.GetName(), err)
	}
	c.Inflight.Wrote(c.owner.Object.GetUID(), kind, target.GetResourceVersion())
	return target, nil
}
