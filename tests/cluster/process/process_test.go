// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

func TestAProcessThatIsKeptIsStartedAgain(t *testing.T) {
	table := process.Table{Dir: t.TempDir()}
	file := filepath.Join(t.TempDir(), "starts")
	if err := table.Keep("ender", "/bin/sh", "-c", "echo $$ >> "+file); err != nil {
		t.Fatal(err)
	}
	starts := func() int {
		raw, _ := os.ReadFile(file)
		return strings.Count(string(raw), "\n")
	}
	for end := time.Now().Add(20 * time.Second); starts() < 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it was started %d times", starts())
		}
	}
	if err := table.Stop("ender", syscall.SIGTERM, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	before := starts()
	time.Sleep(1500 * time.Millisecond)
	if starts() != before {
		t.Fatal("a program that was stopped must stay so")
	}
}

func TestStoppingOneThatIsKeptEndsIt(t *testing.T) {
	table := process.Table{Dir: t.TempDir()}
	file := filepath.Join(t.TempDir(), "pid")
	// It is deaf to the first signal.
	if err := table.Keep("sleeper", "/bin/sh", "-c", "trap '' TERM; echo $$ > "+file+"; while :; do sleep 1; done"); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for end := time.Now().Add(20 * time.Second); pid == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		raw, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(raw)))
	}
	if err := table.Stop("sleeper", syscall.SIGTERM, time.Second); err != nil || pid == 0 {
		t.Fatal(pid, err)
	}
	for end := time.Now().Add(5 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
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
