// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// locked adds the optimistic lock to a patch: the UID, and the version unless it is empty.
func locked(patch []byte, uid types.UID, version string) ([]byte, error) {
	lock := fmt.Appendf(nil, `"uid":%q`, uid)
	if version != "" {
		lock = fmt.Appendf(lock, `,"resourceVersion":%q`, version)
	}
	const begin = `{"metadata":{`
	switch {
	case !json.Valid(patch) || !bytes.HasPrefix(patch, []byte("{")):
		return nil, fmt.Errorf("reading the patch: %q is not a JSON object", patch)
	case bytes.HasPrefix(patch, []byte(begin)):
		return spliced(begin, lock, patch[len(begin):]), nil
	case !bytes.Contains(patch, []byte(`"metadata"`)):
		return spliced(`{"metadata":{`, append(lock, '}'), patch[1:]), nil
	default:
		return merged(patch, lock)
	}
}

// spliced puts the lock between what comes before it and the rest of an object.
func spliced(before string, lock, rest []byte) []byte {
	out := append(make([]byte, 0, len(before)+len(lock)+1+len(rest)), before...)
	out = append(out, lock...)
	if !bytes.HasPrefix(bytes.TrimLeft(rest, " "), []byte("}")) {
		out = append(out, ',')
	}
	return append(out, rest...)
}

// merged adds the lock to a patch whose metadata is anywhere.
func merged(patch, lock []byte) ([]byte, error) {
	var body, metadata map[string]json.RawMessage
	if err := json.Unmarshal(patch, &body); err != nil {
		return nil, fmt.Errorf("reading the patch: %w", err)
	}
	if raw, found := body["metadata"]; found {
		if err := json.Unmarshal(raw, &metadata); err != nil {
			return nil, fmt.Errorf("reading the patch: %w", err)
		}
	}
	raw, err := json.Marshal(metadata)
	if err != nil {
		return nil, fmt.Errorf("encoding the patch: %w", err)
	}
	if metadata == nil {
		raw = []byte("{}")
	}
	body["metadata"] = spliced("{", lock, raw[1:])
	return json.Marshal(body)
}
