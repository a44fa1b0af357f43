// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command keeper counts its starts in the file that its argument names, and prints the count: what it prints tells whether the file outlived the Pod before.
package main

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: keeper FILE")
	}
	file := os.Args[1]
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		fail(err.Error())
	}
	starts := strings.Count(string(content), "\n") + 1
	if err := os.WriteFile(file, append(content, "started\n"...), 0o644); err != nil {
		fail(err.Error())
	}
	_, _ = os.Stdout.WriteString("start " + strconv.Itoa(starts) + "\n")
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	<-term
}

func fail(why string) {
	_, _ = os.Stderr.WriteString(why + "\n")
	os.Exit(1)
}
