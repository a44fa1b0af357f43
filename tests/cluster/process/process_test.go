// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/keelson/keelson/tests/cluster/process"
)

func TestAProcessIsFoundStoppedAndStartedAgain(t *testing.T) {
	// A second table is what another run of the program has: it knows only what is on disk.
	dir := t.TempDir()
	if err := (process.Table{Dir: dir}).Start("sleeper", "/bin/sleep", "60"); err != nil {
		t.Fatal(err)
	}
	table := process.Table{Dir: dir}
	first := table.PID("sleeper")
	if !table.IsRunning("sleeper") || first == 0 {
		t.Fatal("a program that was started must be found running")
	}
	if err := table.Restart("sleeper", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if second := table.PID("sleeper"); second == first || second == 0 {
		t.Fatalf("a restart must give a new process, got %d after %d", second, first)
	}
	if err := table.Stop("sleeper", syscall.SIGTERM, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if table.IsRunning("sleeper") {
		t.Fatal("a stopped program must not be running")
	}
	if err := table.Stop("sleeper", syscall.SIGTERM, time.Second); err != nil {
		t.Fatalf("stopping twice must do no harm: %v", err)
	}
}

func TestAProcessHoldsNoFilesOfItsCaller(t *testing.T) {
	lock, err := syscall.Open(filepath.Join(t.TempDir(), "lock"), syscall.O_CREAT|syscall.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(lock) }()
	table := process.Table{Dir: t.TempDir()}
	if err := table.Start("sleeper", "/bin/sleep", "60"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = table.Stop("sleeper", syscall.SIGKILL, time.Second) }()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", table.PID("sleeper")))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Fatalf("it must have input, output and errors, and has %d files", len(files))
	}
}
