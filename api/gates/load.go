// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"fmt"
	"maps"
	"os"
)

// Load resolves the gates of a program from its flags: those of the directory, where one is named, and over them those of the list. An error names the
// flag and the rule.
func Load(list, dir string) (Set, error) {
	settings := map[string]bool{}
	if dir != "" {
		fromDir, err := ParseDir(os.DirFS(dir))
		if err != nil {
			return Set{}, fmt.Errorf("--feature-gates-dir=%s: %w", dir, err)
		}
		maps.Copy(settings, fromDir)
	}
	fromList, err := ParseFlag(list)
	if err != nil {
		return Set{}, fmt.Errorf("--feature-gates=%s: %w", list, err)
	}
	maps.Copy(settings, fromList)
	set, err := Resolve(settings)
	if err != nil {
		return Set{}, fmt.Errorf("feature gates: %w", err)
	}
	return set, nil
}
