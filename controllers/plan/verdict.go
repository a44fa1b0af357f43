// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import "fmt"

// Verdict is a yes or no with its reason. A no always has a Reason and a Message; a yes may have them.
type Verdict struct {
	OK bool
	// Reason is one CamelCase word.
	Reason string
	// Message is for people.
	Message string
}

// Yes is the plain positive verdict.
func Yes() Verdict { return Verdict{OK: true} }

// No is a negative verdict; the message is formatted as by fmt.Sprintf.
func No(reason, format string, args ...any) Verdict {
	return Verdict{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
