// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// What Git says is what the cluster has: a diff after an apply is empty, however it was applied.
func TestKubectlFindsNoDifferenceAfterApply(t *testing.T) {
	sample := filepath.Join(t.TempDir(), "sample.yaml")
	require.NoError(t, os.WriteFile(sample, []byte(base+`
      volumes: []
  updateStrategy:
    rollingUpdate: {partition: 33.3%, maxUnavailable: 1}
`), 0o600))
	for name, flags := range map[string][]string{
		"by the client": {},
		"by the server": {"--server-side"},
	} {
		t.Run(name, func(t *testing.T) {
			// A server of its own: here the CRD keeps its conversion, which nobody answers.
			env := &envtest.Environment{}
			config, err := env.Start()
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, env.Stop()) })
			user, err := env.AddUser(envtest.User{Name: "git", Groups: []string{"system:masters"}}, config)
			require.NoError(t, err)
			kubectl := func(arguments ...string) {
				t.Helper()
				command, err := user.Kubectl()
				require.NoError(t, err)
				run := exec.Command(command.Path, append(command.Opts, arguments...)...)
				output, err := run.CombinedOutput()
				require.NoError(t, err, "kubectl %v: %s", arguments, output)
			}
			kubectl(append([]string{"apply", "-k", "."}, flags...)...)
			kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crdFile)
			kubectl(append([]string{"apply", "-f", sample}, flags...)...)

			kubectl(append([]string{"diff", "-k", "."}, flags...)...)
			kubectl(append([]string{"diff", "-f", sample}, flags...)...)
		})
	}
}
