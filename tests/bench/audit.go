// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// requests counts what somebody asked of the API server, such as "patch pods/status".
type requests map[string]int

// total is the sum of all.
func (r requests) total() int {
	sum := 0
	for _, n := range r {
		sum += n
	}
	return sum
}

// ledger is what the audit log says of one subject within a window.
type ledger struct {
	// Writes and Reads are by verb and resource; Refused are the writes that the API server answered with an error, which are among Writes too.
	Writes  requests `json:"writes"`
	Reads   requests `json:"reads"`
	Refused requests `json:"refused,omitempty"`
}

// record is what the bench reads of one line of the audit log.
type record struct {
	Verb string
	User struct{ Username string }
	// ObjectRef is missing for requests that are not about objects.
	ObjectRef      struct{ Resource, Subresource, Namespace string }
	ResponseStatus struct{ Code int }
}

func (r record) String() string {
	if r.ObjectRef.Subresource == "" {
		return r.Verb + " " + r.ObjectRef.Resource
	}
	return r.Verb + " " + r.ObjectRef.Resource + "/" + r.ObjectRef.Subresource
}

// auditLog reads a log that the API server goes on writing.
type auditLog struct {
	file   *os.File
	offset int64
}

func openAuditLog(path string) (*auditLog, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	return &auditLog{file: file}, nil
}

// skip forgets what has been written so far.
func (a *auditLog) skip() error {
	end, err := a.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	a.offset = end
	return nil
}

// read adds to the ledger what the users asked for since the last call, and returns how many of that were writes. What a program asks in
// kruise-system is about itself, such as its leader election, and is left out.
func (a *auditLog) read(into *ledger, users []string) (int, error) {
	if _, err := a.file.Seek(a.offset, io.SeekStart); err != nil {
		return 0, fmt.Errorf("reading the audit log: %w", err)
	}
	lines := bufio.NewReaderSize(a.file, 1<<20)
	writes := 0
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// A line that is not whole yet is read the next time.
			return writes, nil
		}
		if err != nil {
			return writes, fmt.Errorf("reading the audit log: %w", err)
		}
		a.offset += int64(len(line))
		var r record
		if err := json.NewDecoder(bytes.NewReader(line)).Decode(&r); err != nil {
			return writes, fmt.Errorf("reading the audit log: %w", err)
		}
		if slices.Contains(users, r.User.Username) && r.ObjectRef.Namespace != "kruise-system" {
			writes += into.add(r)
		}
	}
}

// add counts a request, and returns 1 when it was a write.
func (l *ledger) add(r record) int {
	switch r.Verb {
	case "get", "list", "watch":
		l.Reads[r.String()]++
		return 0
	default:
		l.Writes[r.String()]++
		if r.ResponseStatus.Code >= 400 {
			l.Refused[r.String()]++
		}
		return 1
	}
}
