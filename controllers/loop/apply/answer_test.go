// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestWhatIsAnswered(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"a write that was made":                        {err: nil},
		"a refusal":                                    {err: apierrors.NewForbidden(pods, "a", errors.New("quota"))},
		"a conflict":                                   {err: apierrors.NewConflict(pods, "a", errors.New("newer"))},
		"a webhook that could not be called":           {err: apierrors.NewInternalError(errors.New("failed calling webhook"))},
		"an API server that takes no requests":         {err: apierrors.NewServiceUnavailable("going down")},
		"a connection that was refused":                {err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}},
		"a connection that broke":                      {err: io.ErrUnexpectedEOF, want: true},
		"a time limit":                                 {err: context.DeadlineExceeded, want: true},
		"a time limit of the API server":               {err: apierrors.NewTimeoutError("too slow", 1), want: true},
		"a store that gave no answer":                  {err: &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "etcdserver: leader changed"}}, want: true},
		"something that a wrapped error tells as well": {err: fmt.Errorf("patching a: %w", io.ErrUnexpectedEOF), want: true},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, isUnanswered(tc.err)) })
	}
}
