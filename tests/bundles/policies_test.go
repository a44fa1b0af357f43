// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package bundles_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Flux, told to force, answers a denial that is called Invalid, which is the default, by deleting the object and making it anew.
func TestPoliciesForbidAndDoNotCallInvalid(t *testing.T) {
	found := 0
	for _, dir := range []string{"bundles", "overlays"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".yaml" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, document := range strings.Split(string(text), "\n---\n") {
				if !strings.Contains(document, "kind: ValidatingAdmissionPolicy\n") {
					continue
				}
				policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
				require.NoError(t, yaml.UnmarshalStrict([]byte(document), policy), path)
				for i, v := range policy.Spec.Validations {
					found++
					require.NotNil(t, v.Reason, "%s: %s, validation %d has no reason, and is so Invalid", path, policy.Name, i)
					assert.Equal(t, metav1.StatusReasonForbidden, *v.Reason, "%s: %s, validation %d", path, policy.Name, i)
				}
			}
			return nil
		}))
	}
	assert.NotZero(t, found)
}
