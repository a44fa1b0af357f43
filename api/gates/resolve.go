// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Set says of each gate whether it is enabled. The zero Set has every gate off.
type Set struct {
	enabled map[Name]bool
	notes   []string
}

// Enabled says whether the gate is on. A name that is no gate is off.
func (s Set) Enabled(gate Name) bool {
	return s.enabled[gate]
}

// Notes returns a sentence for each setting that does not do what it says: for groups that name what is not built, for settled gates, and for gates that
// another gate turned on or off, each in the order of the table.
func (s Set) Notes() []string {
	return slices.Clone(s.notes)
}

// Resolve applies settings, by gate or group name, to the table. It fails on a name that is neither, on gates that are turned on by name though nothing
// implements them, and on explicit settings that contradict each other.
func Resolve(settings map[string]bool) (Set, error) {
	return resolve(All(), settings)
}

func resolve(table []Gate, settings map[string]bool) (Set, error) {
	if err := checkNames(table, settings); err != nil {
		return Set{}, err
	}
	r := resolver{table: table, settings: settings, enabled: map[Name]bool{}, reason: map[Name]string{}}
	for _, g := range table {
		r.start(g)
	}
	r.refuseUnbuilt()
	r.noteSettings()
	// NOTE: whoever gives way may have been needed by others, so the rules run until nothing changes. Every pass turns at
	// least one gate off for good, or settles.
	for changed := true; changed; {
		changed = r.pass((*resolver).give)
	}
	for changed := true; changed; {
		changed = r.pass((*resolver).force)
	}
	return Set{enabled: r.enabled, notes: r.notes}, errors.Join(r.failures...)
}

type resolver struct {
	table    []Gate
	settings map[string]bool
	enabled  map[Name]bool
	reason   map[Name]string
	notes    []string
	failures []error
}

// start gives a gate the value it has before any rule, and the reason for it.
func (r *resolver) start(g Gate) {
	if g.Class == Unbuilt {
		r.enabled[g.Name], r.reason[g.Name] = false, "because nothing implements it in this version"
		return
	}
	r.enabled[g.Name], r.reason[g.Name] = g.Default, "by default"
	if value, ok := r.settings[string(g.group())]; ok {
		r.enabled[g.Name], r.reason[g.Name] = value, fmt.Sprintf("by %s=%t", g.group(), value)
	}
	if value, ok := r.settings[string(g.Name)]; ok {
		r.enabled[g.Name], r.reason[g.Name] = value, fmt.Sprintf("by %s=%t", g.Name, value)
	}
}

// refuseUnbuilt fails on gates that are turned on by name though nothing implements them: whoever relies on one would find out when it is needed.
func (r *resolver) refuseUnbuilt() {
	var names []string
	for _, g := range r.table {
		if g.Class == Unbuilt && r.settings[string(g.Name)] {
			names = append(names, string(g.Name))
		}
	}
	switch len(names) {
	case 0:
	case 1:
		r.failures = append(r.failures, fmt.Errorf("enabling gate %s: nothing implements it in this version; set %[1]s=false, or leave it out", names[0]))
	default:
		list := strings.Join(names, ", ")
		r.failures = append(r.failures, fmt.Errorf("enabling gates %s: nothing implements them in this version; set them to false, or leave them out", list))
	}
}

// noteSettings tells of settings that change nothing.
func (r *resolver) noteSettings() {
	for _, group := range []Name{AllAlpha, AllBeta} {
		var names []string
		for _, g := range r.table {
			if g.Class == Unbuilt && g.group() == group {
				names = append(names, string(g.Name))
			}
		}
		if r.settings[string(group)] && len(names) > 0 {
			r.notes = append(r.notes, fmt.Sprintf("%s=true does not turn on what nothing implements in this version: %s", group, strings.Join(names, ", ")))
		}
	}
	for _, g := range r.table {
		if value, ok := r.settings[string(g.Name)]; ok && g.Class == Settled {
			r.notes = append(r.notes, fmt.Sprintf("%s=%t changes nothing. %s", g.Name, value, g.Instead))
		}
	}
}

func (r *resolver) pass(rule func(*resolver, Gate) bool) bool {
	changed := false
	for _, g := range r.table {
		if r.enabled[g.Name] && rule(r, g) {
			changed = true
		}
	}
	return changed
}

// give turns an enabled gate off, or fails when the gate is explicit, if the others do not let it be on.
func (r *resolver) give(g Gate) bool {
	why := r.obstacle(g)
	if why == "" {
		return false
	}
	r.enabled[g.Name], r.reason[g.Name] = false, "because "+why
	if r.isExplicit(g.Name) {
		r.failures = append(r.failures, fmt.Errorf("enabling gate %s: %s", g.Name, why))
		return true
	}
	r.notes = append(r.notes, fmt.Sprintf("%s is off: %s", g.Name, why))
	return true
}

func (r *resolver) obstacle(g Gate) string {
	for _, need := range g.Needs {
		if !r.enabled[need] {
			return fmt.Sprintf("it needs %s, which is off %s", need, r.reason[need])
		}
	}
	for _, other := range g.Excludes {
		// Of two gates that exclude each other the explicit one stays; both explicit is a failure of either.
		if r.enabled[other] && (r.isExplicit(other) || !r.isExplicit(g.Name)) {
			return fmt.Sprintf("it cannot be on together with %s, which is on %s", other, r.reason[other])
		}
	}
	for _, forced := range g.Forces {
		if r.isExplicit(forced) && !r.settings[string(forced)] {
			return fmt.Sprintf("it turns %s on, which is off %s", forced, r.reason[forced])
		}
	}
	return ""
}

// force turns on what an enabled gate asks for.
func (r *resolver) force(g Gate) bool {
	changed := false
	for _, forced := range g.Forces {
		if r.enabled[forced] {
			continue
		}
		r.enabled[forced], r.reason[forced], changed = true, fmt.Sprintf("because %s is on", g.Name), true
		r.notes = append(r.notes, fmt.Sprintf("%s is on: %s turns it on", forced, g.Name))
	}
	return changed
}

func (r *resolver) isExplicit(gate Name) bool {
	_, ok := r.settings[string(gate)]
	return ok
}
