// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keelson/keelson/controllers/loop/inflight"
	"github.com/keelson/keelson/controllers/plan"
)

// mute makes every write, and its connection breaks before the answer comes.
type mute struct{ client.Client }

func (m mute) Delete(ctx context.Context, object client.Object, o ...client.DeleteOption) error {
	_ = m.Client.Delete(ctx, object, o...)
	return io.ErrUnexpectedEOF
}

func (m mute) Patch(ctx context.Context, object client.Object, patch client.Patch, o ...client.PatchOption) error {
	_ = m.Client.Patch(ctx, object, patch, o...)
	return io.ErrUnexpectedEOF
}

// late shows a Pod that may be gone.
type late struct {
	client.Client
	shows *corev1.Pod
}

func (l late) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	l.shows.DeepCopyInto(object.(*corev1.Pod))
	return nil
}

// settles says that a live list of Pods was read, which the cache has caught up with.
func (b *bench) settles(t *testing.T) {
	t.Helper()
	kind := inflight.Kind{Kind: "Pod"}
	var list corev1.PodList
	require.NoError(t, b.List(t.Context(), &list))
	b.hands.Inflight.Listed(b.owner.UID, kind, list.ResourceVersion, list.ResourceVersion)
	assert.NotEqual(t, inflight.Current, b.hands.Inflight.State(b.owner.UID))
	b.hands.Inflight.Seen(kind, list.ResourceVersion)
	assert.Equal(t, inflight.Current, b.hands.Inflight.State(b.owner.UID))
}

func looksAfterSilence(t *testing.T, b *bench) {
	label := plan.Change{Patch: []byte(`{"metadata":{"labels":{"x":"y"}}}`)}
	changed, deleted, reachable := b.existing(t, "a"), b.existing(t, "b"), b.hands.Client
	b.hands.Client = mute{reachable}
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{patch(changed, label)}})
	assert.Len(t, o.Failures, 1)
	assert.Equal(t, inflight.Expired, b.hands.Inflight.State(b.owner.UID))
	b.settles(t)
	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: deleted}}})
	assert.Len(t, o.Failures, 1)
	assert.Equal(t, inflight.Expired, b.hands.Inflight.State(b.owner.UID))
	b.settles(t)

	b.hands.Client = reachable
	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{create(b.refused("c"))}})
	assert.Len(t, o.Failures, 1)
	assert.Equal(t, inflight.Current, b.hands.Inflight.State(b.owner.UID), "what was refused was not made")

	taken := create(b.pod("a"))
	taken.IfExists = plan.ExistsDefers
	o = b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{taken}})
	assert.Equal(t, []plan.DeferralReason{plan.NameTaken}, reasons(o))
	assert.Equal(t, inflight.Expired, b.hands.Inflight.State(b.owner.UID), "the one that is there may be ours, and the cache does not show it")
}

func believesNoLateCache(t *testing.T, b *bench) {
	gone := b.existing(t, "a")
	require.NoError(t, b.Delete(t.Context(), gone.DeepCopy(), client.GracePeriodSeconds(0)))
	b.hands.Client = late{b.hands.Client, gone}
	o := b.hands.Perform(t.Context(), b.owner, plan.Decision{Actions: []plan.Action{{Verb: plan.Delete, Object: gone}}})
	assert.Equal(t, []plan.DeferralReason{plan.ObjectGone}, reasons(o))
	assert.Equal(t, inflight.Behind, b.hands.Inflight.State(b.owner.UID), "the cache shows what is gone: its event is waited for")
	b.hands.Inflight.Gone(gone.UID)
	assert.Equal(t, inflight.Current, b.hands.Inflight.State(b.owner.UID))
}
