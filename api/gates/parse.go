// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ParseFlag reads "A=true,B=false". Blanks around names and values are ignored, and so is an empty part. It fails on an
// unknown gate, on a value that is no boolean, and on a gate that is given two different values.
func ParseFlag(flag string) (map[string]bool, error) {
	settings := map[string]bool{}
	for _, part := range strings.Split(flag, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, text, found := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !found {
			return nil, fmt.Errorf("parsing feature gates: %q is not of the form <gate>=true or <gate>=false", part)
		}
		value, err := parseValue(name, text)
		if err != nil {
			return nil, fmt.Errorf("parsing feature gates: %w", err)
		}
		if earlier, ok := settings[name]; ok && earlier != value {
			return nil, fmt.Errorf("parsing feature gates: gate %s is set both true and false", name)
		}
		settings[name] = value
	}
	if err := checkNames(All(), settings); err != nil {
		return nil, fmt.Errorf("parsing feature gates: %w", err)
	}
	return settings, nil
}

// ParseDir reads a directory in which every file is named like a gate and says true or false: a mounted ConfigMap. Files
// and directories whose names begin with a dot, which the kubelet keeps there, are left out. A directory that does not
// exist is an error that wraps fs.ErrNotExist.
func ParseDir(dir fs.FS) (map[string]bool, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("reading the directory of feature gates: %w", err)
	}
	settings := map[string]bool{}
	for _, entry := range entries {
		if entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		text, err := fs.ReadFile(dir, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading feature gate file %s: %w", entry.Name(), err)
		}
		value, err := parseValue(entry.Name(), string(text))
		if err != nil {
			return nil, fmt.Errorf("parsing feature gate file %s: %w", entry.Name(), err)
		}
		settings[entry.Name()] = value
	}
	if err := checkNames(All(), settings); err != nil {
		return nil, fmt.Errorf("reading the directory of feature gates: %w", err)
	}
	return settings, nil
}

func parseValue(name, text string) (bool, error) {
	value, err := strconv.ParseBool(strings.TrimSpace(text))
	if err != nil {
		return false, fmt.Errorf("gate %s must be true or false, not %q", name, strings.TrimSpace(text))
	}
	return value, nil
}

// checkNames fails on every name that is neither a gate nor a group, and says which one is nearest.
func checkNames(table []Gate, settings map[string]bool) error {
	known := []string{string(AllAlpha), string(AllBeta)}
	for _, g := range table {
		known = append(known, string(g.Name))
	}
	var failures []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !slices.Contains(known, name) {
			failures = append(failures, fmt.Errorf("unknown feature gate %q; did you mean %s?", name, nearest(name, known)))
		}
	}
	return errors.Join(failures...)
}

func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int {
		return distance(name, a) - distance(name, b)
	})
}

// distance counts the insertions, removals and replacements of bytes that lead from a to b, whatever their case.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
