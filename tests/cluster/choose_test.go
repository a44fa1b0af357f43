// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/keelson/keelson/tests/cluster/host"
)

func TestChoose(t *testing.T) {
	for name, tc := range map[string]struct {
		machine machine
		want    mode
		wantErr string
	}{
		"a cluster that is named wins":                     {machine: machine{kubeconfig: "k", isRootLinux: true, hasDocker: true}, want: existing},
		"unless it is the one of this machine":             {machine: machine{kubeconfig: host.Kubeconfig()}, want: onHost},
		"then this machine, where we are root":             {machine: machine{isRootLinux: true, hasDocker: true}, want: onHost},
		"then kind, where Docker answers":                  {machine: machine{hasDocker: true}, want: inKind},
		"then simulation":                                  {want: inSim},
		"a wish wins over all":                             {machine: machine{wanted: "sim", kubeconfig: "k", isRootLinux: true, hasDocker: true}, want: inSim},
		"a wish for an existing one must name it":          {machine: machine{wanted: "existing"}, wantErr: "KEELSON_KUBECONFIG"},
		"a wish that is none of them names those that are": {machine: machine{wanted: "minikube"}, wantErr: "host, kind, sim, existing or bench"},
	} {
		t.Run(name, func(t *testing.T) {
			got, why, err := tc.machine.choose()
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("want an error with %q, got %v", tc.wantErr, err)
				}
				return
			}
			if err != nil || got != tc.want || why == "" {
				t.Fatalf("want %s, got %s (%s), %v", tc.want, got, why, err)
			}
		})
	}
}
