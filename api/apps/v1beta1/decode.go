// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"encoding/json"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// UnmarshalJSON decodes a spec, and never fails: Undecoded says what could not be decoded. One set that holds nonsense would else end the list, and the watch, of all
// sets of a cluster. The API server keeps unknown fields of templates, so that it cannot refuse a wrong one either; the webhook does, while it answers.
func (s *CloneSetSpec) UnmarshalJSON(data []byte) error {
	type plain CloneSetSpec
	var whole plain
	err := utiljson.Unmarshal(data, &whole)
	if err == nil {
		*s = CloneSetSpec(whole)
		return nil
	}
	// The templates are what no schema checks. Without them the rest can be read, such as how many Pods are wanted.
	var rest struct {
		plain
		Template             json.RawMessage `json:"template"`
		VolumeClaimTemplates json.RawMessage `json:"volumeClaimTemplates"`
	}
	if utiljson.Unmarshal(data, &rest) == nil {
		*s = CloneSetSpec(rest.plain)
	} else {
		*s = CloneSetSpec{}
	}
	s.Undecoded = err.Error()
	return nil
}

// MarshalJSON encodes a spec. It fails for one that was not decoded as a whole: what is written back would lose the rest.
func (s CloneSetSpec) MarshalJSON() ([]byte, error) {
	type plain CloneSetSpec
	if s.Undecoded != "" {
		return nil, fmt.Errorf("spec was not decoded as a whole (%s), and writing it would lose what is missing", s.Undecoded)
	}
	return json.Marshal(plain(s))
}
