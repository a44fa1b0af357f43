// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package gates

// Name is the name of a gate as users write it.
type Name string

// Stage says how ripe the feature behind a gate is.
type Stage string

const (
	// Alpha features are off unless asked for and may change.
	Alpha Stage = "Alpha"
	// Beta features are well tested; their behaviour stays.
	Beta Stage = "Beta"
)

// Class says what becomes of a setting for a gate. The zero Class is Unbuilt, so that a row that says nothing promises nothing.
type Class int

const (
	// Unbuilt gates belong to features that are not there yet: they are off whatever their default, false is accepted, and true by name is refused.
	Unbuilt Class = iota
	// Built gates switch something.
	Built
	// Settled gates are published, but Keelson always or never does what they are about: both values are accepted, and change nothing.
	Settled
)

const (
	// AllAlpha is the group of every gate in stage Alpha. A setting for a gate itself wins over that of its group.
	AllAlpha Name = "AllAlpha"
	// AllBeta is the group of every gate in stage Beta. A setting for a gate itself wins over that of its group.
	AllBeta Name = "AllBeta"
)

// Gate is one row of the table.
type Gate struct {
	// Name is how users write the gate.
	Name Name
	// Default is the published default: what a gate that is Built is when nobody says anything.
	Default bool
	// Stage says which group the gate belongs to.
	Stage Stage
	// Class says whether the gate switches anything.
	Class Class
	// Instead says in one sentence what Keelson does whatever the gate says; for gates that are Settled alone.
	Instead string
	// Needs names the gates without which this one is off.
	Needs []Name
	// Forces names the gates that are on whenever this one is.
	Forces []Name
	// Excludes names the gates that cannot be on together with this one.
	Excludes []Name
	// Doc says in one sentence what the gate does when it is on.
	Doc string
}

// group is the group that the gate belongs to.
func (g Gate) group() Name {
	if g.Stage == Beta {
		return AllBeta
	}
	return AllAlpha
}
