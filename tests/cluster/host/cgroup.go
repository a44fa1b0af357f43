// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupRoot is the cgroup above all nodes.
const cgroupRoot = "keelson"

const cgroupMount = "/sys/fs/cgroup"

// hierarchies are the cgroup trees of this machine: one with cgroup v2, one for each controller with v1.
func hierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return []string{cgroupMount}
	}
	var found []string
	entries, _ := os.ReadDir(cgroupMount)
	for _, e := range entries {
		if e.IsDir() {
			found = append(found, filepath.Join(cgroupMount, e.Name()))
		}
	}
	return found
}

// makeCgroup makes a cgroup in every tree. A cpuset of v1 holds nothing until its processors and memory are set.
func makeCgroup(path string) error {
	for _, root := range hierarchies() {
		dir := root
		for _, part := range strings.Split(path, "/") {
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("making cgroup %s: %w", dir, err)
			}
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if value, err := os.ReadFile(filepath.Join(parent, file)); err == nil && filepath.Base(root) == "cpuset" {
					_ = os.WriteFile(filepath.Join(dir, file), value, 0o644)
				}
			}
			if root == cgroupMount {
				controllers, _ := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
				for _, c := range strings.Fields(string(controllers)) {
					_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+c), 0o644)
				}
			}
		}
	}
	return nil
}

// cgroups lists all cgroups of the cluster, children first.
func cgroups() []string {
	var all []string
	for _, root := range hierarchies() {
		_ = filepath.WalkDir(filepath.Join(root, cgroupRoot), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return nil
		})
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// removeCgroups kills what is left in the cluster's cgroups and removes them.
func removeCgroups() error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		all := cgroups()
		if len(all) == 0 {
			return nil
		}
		for _, dir := range all {
			procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			for _, pid := range strings.Fields(string(procs)) {
				kill(pid)
			}
			if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOENT) {
				return fmt.Errorf("removing cgroup %s: %w", dir, err)
			}
		}
	}
	return fmt.Errorf("removing cgroups: %v are still busy", cgroups())
}

func kill(pid string) {
	if n, err := strconv.Atoi(pid); err == nil && n > 1 {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}

// killInNamespaces kills every process whose network namespace is one of the nodes': shims outlive the containerd that started them.
func killInNamespaces() {
	inodes := map[uint64]bool{}
	for _, n := range laidNodes() {
		var s syscall.Stat_t
		if syscall.Stat(netns(n), &s) == nil {
			inodes[s.Ino] = true
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, file := range processes {
		var s syscall.Stat_t
		if syscall.Stat(file, &s) == nil && inodes[s.Ino] {
			kill(strings.Split(file, "/")[2])
		}
	}
}
