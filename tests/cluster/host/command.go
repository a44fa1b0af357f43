// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// run runs a command of the system and returns what it printed; what it complained is in the error.
func run(ctx context.Context, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// runAll runs commands until one fails.
func runAll(ctx context.Context, commands ...string) error {
	for _, c := range commands {
		if _, err := run(ctx, strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

// Kubectl runs kubectl as the administrator.
func (c *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	return run(ctx, append([]string{filepath.Join(c.Kubernetes, "kubectl"), "--kubeconfig=" + c.Kubeconfig(), "--request-timeout=5s"}, args...)...)
}

// fatal is an error that waiting does not cure.
type fatal struct{ error }

// Wait tries until it succeeds, fails for good, or takes too long.
func Wait(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startupPatience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if f := (fatal{}); errors.As(err, &f) {
			return fmt.Errorf("waiting for %s: %w", what, f.error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
