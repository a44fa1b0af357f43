// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"
)

// Script writes down what happens, one line for each thing that an actor does, so that it reads like a screenplay.
type Script struct {
	lines   []string
	isQuiet bool
}

// Tell writes a line.
func (s *Script) Tell(actor, format string, args ...any) {
	if !s.isQuiet {
		s.lines = append(s.lines, strings.TrimRight(fmt.Sprintf("%-12s%s", actor, fmt.Sprintf(format, args...)), " "))
	}
}

// Scene writes a heading after an empty line.
func (s *Script) Scene(format string, args ...any) {
	if len(s.lines) > 0 {
		s.lines = append(s.lines, "")
	}
	s.lines = append(s.lines, "# "+fmt.Sprintf(format, args...))
}

// Omit leaves out what happens while a function runs: the way to where a story begins.
func (s *Script) Omit(during func()) {
	was := s.isQuiet
	s.isQuiet = true
	during()
	s.isQuiet = was
}

// Tail is the last lines, for a message about what went wrong.
func (s *Script) Tail(n int) string {
	return strings.Join(s.lines[max(len(s.lines)-n, 0):], "\n")
}

// String is the whole script.
func (s *Script) String() string { return strings.Join(s.lines, "\n") + "\n" }
