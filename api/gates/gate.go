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
	// Default is what the gate is when nobody says anything.
	Default bool
	// Stage says which group the gate belongs to.
	Stage Stage
	// Needs names the gates without which this one is off.
	Needs []Name
	// Forces names the gates that are on whenever this one is.
	Forces []Name
	// Excludes names the gates that cannot be on together with this one.
	Excludes []Name
	// Doc says in one sentence what the gate does when it is on.
	Doc string
}
