// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"os"
	"path/filepath"
	"testing"
)

func TestVersionsOfAnImageShareTheirBaseAndNothingElse(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "demo")
	if err := os.WriteFile(binary, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	digests := func(repository, tag string) (all []string) {
		t.Helper()
		made, err := image{repositories: []string{repository}, program: "demo", shared: 2, own: 1}.make(binary, tag)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := made.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range layers {
			digest, err := layer.Digest()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, digest.String())
		}
		if size, err := layers[0].Size(); err != nil || size < 2<<20 {
			t.Errorf("the base has %d bytes, %v", size, err)
		}
		return all
	}
	one, again, two, other := digests("shop", "v1"), digests("shop", "v1"), digests("shop", "v2"), digests("other", "v1")
	for i, want := range []struct{ again, two, other bool }{{true, true, false}, {true, false, false}, {true, true, true}} {
		if (one[i] == again[i]) != want.again || (one[i] == two[i]) != want.two || (one[i] == other[i]) != want.other {
			t.Errorf("layer %d: %s, again %s, of another version %s, of another image %s", i, one[i], again[i], two[i], other[i])
		}
	}
}
