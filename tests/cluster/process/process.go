// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process starts programs that outlive the one that starts them, and stops them again. Each has a file that says how it was started, so
// that another run of the program can find, stop and restart it.
package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Table is a folder of records, one for each program.
type Table struct {
	// Dir holds NAME.json and NAME.log.
	Dir string
}

// record says how a program was started, and which process it is. The start time tells it from a later process with the same number.
type record struct {
	Args    []string `json:"args"`
	IsKept  bool     `json:"isKept,omitempty"`
	Env     []string `json:"env,omitempty"`
	PID     int      `json:"pid"`
	Started string   `json:"started"`
}

// Start runs a program in a session of its own, its output going to NAME.log.
func (t Table) Start(name string, args ...string) error {
	return t.start(name, record{Args: args, Env: os.Environ()})
}

// keeper runs its arguments again and again.
const keeper = `while :; do "$@"; echo "it ended with $?, and is started again" >&2; sleep 1; done`

// Keep starts a program as Start does, and starts it again whenever it ends by itself, as a kubelet does with the programs of a control plane: a scheduler whose picture of
// the cluster is broken ends on purpose.
func (t Table) Keep(name string, args ...string) error {
	return t.start(name, record{Args: append([]string{"/bin/sh", "-c", keeper, name}, args...), IsKept: true, Env: os.Environ()})
}

func (t Table) start(name string, r record) error {
	if err := os.MkdirAll(t.Dir, 0o755); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	log, err := os.OpenFile(t.Log(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	defer null.Close()
	if err := keepFiles(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	p, err := os.StartProcess(r.Args[0], r.Args, &os.ProcAttr{
		Env: r.Env, Files: []*os.File{null, log, log}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	r.PID, r.Started = p.Pid, startTime(p.Pid)
	if err := p.Release(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	return t.write(name, r)
}

// keepFiles keeps the files of whoever started this program from those that it starts, which outlive both: a lock, as of flock(1), would never be let go.
func keepFiles() error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing open files: %w", err)
	}
	for _, file := range files {
		if number, err := strconv.Atoi(file.Name()); err == nil && number > 2 {
			syscall.CloseOnExec(number)
		}
	}
	return nil
}

// Restart ends a program by a signal and starts it again as it was.
func (t Table) Restart(name string, signal syscall.Signal) error {
	r, err := t.read(name)
	if err != nil {
		return err
	}
	if err := t.Stop(name, signal, 10*time.Second); err != nil {
		return err
	}
	return t.start(name, r)
}

// IsRunning says whether a program was started and is still there.
func (t Table) IsRunning(name string) bool {
	r, err := t.read(name)
	return err == nil && r.isAlive()
}

// Stop sends a signal and waits for the end; after the patience it kills. A program that is not there is stopped already.
func (t Table) Stop(name string, signal syscall.Signal, patience time.Duration) error {
	r, err := t.read(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range []syscall.Signal{signal, syscall.SIGKILL} {
		if !r.isAlive() {
			break
		}
		r.signal(s)
		for end := time.Now().Add(patience); r.isAlive() && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if r.isAlive() {
		return fmt.Errorf("stopping %s: process %d does not end", name, r.PID)
	}
	if r.IsKept {
		// Who kept it has ended; it may not have.
		r.signal(syscall.SIGKILL)
	}
	return os.Remove(t.file(name))
}

// Log is the file that holds a program's output.
func (t Table) Log(name string) string { return filepath.Join(t.Dir, name+".log") }

// PID is the number of a running program, or zero.
func (t Table) PID(name string) int {
	if r, err := t.read(name); err == nil && r.isAlive() {
		return r.PID
	}
	return 0
}

func (t Table) file(name string) string { return filepath.Join(t.Dir, name+".json") }

func (t Table) write(name string, r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("recording %s: %w", name, err)
	}
	return os.WriteFile(t.file(name), raw, 0o600)
}

func (t Table) read(name string) (record, error) {
	var r record
	raw, err := os.ReadFile(t.file(name))
	if err != nil {
		return r, fmt.Errorf("finding %s: %w", name, err)
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("finding %s: %w", name, err)
	}
	return r, nil
}

// signal reaches the program that is kept, and not only who keeps it: both are of one group.
func (r record) signal(s syscall.Signal) {
	pid := r.PID
	if r.IsKept {
		pid = -pid
	}
	_ = syscall.Kill(pid, s)
}

func (r record) isAlive() bool {
	now := startTime(r.PID)
	return now != "" && now == r.Started
}

// startTime is when a process was started, in ticks since boot; empty when there is none, or when it has ended and nobody asked for its result.
func startTime(pid int) string {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold blanks.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" && !hasThreads(pid) {
		return ""
	}
	return fields[19]
}

// hasThreads says that a process still has threads beside its first. One whose first thread has ended looks ended, and yet holds its files and ports
// until the last of the others has.
func hasThreads(pid int) bool {
	threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	return err == nil && len(threads) > 1
}
