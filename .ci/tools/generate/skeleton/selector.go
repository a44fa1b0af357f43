// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

const (
	// A label key is a DNS name of 253, a slash and 63 more; its value is 63 at most.
	maxLabelKey   = 253 + 1 + 63
	maxLabelValue = 63
	// maxTerms is more than any selector has. The API server estimates the cost of a CEL rule from such bounds.
	maxTerms = 100
)

func isLabelSelector(node object) bool {
	properties, ok := node["properties"].(object)
	if !ok {
		return false
	}
	_, labels := properties["matchLabels"].(object)
	_, expressions := properties["matchExpressions"].(object)
	return labels && expressions
}

// boundSelector writes down what is true of every label selector, so that CEL may walk it, and refuses unknown operators.
func boundSelector(node object) {
	properties := node["properties"].(object)

	labels := properties["matchLabels"].(object)
	labels["maxProperties"] = int64(maxTerms)
	labels["additionalProperties"] = object{"type": "string", "maxLength": int64(maxLabelValue)}

	expressions := properties["matchExpressions"].(object)
	expressions["maxItems"] = int64(maxTerms)
	items, _ := expressions["items"].(object)
	term, ok := items["properties"].(object)
	if !ok {
		return
	}
	if key, ok := term["key"].(object); ok {
		key["minLength"], key["maxLength"] = int64(1), int64(maxLabelKey)
	}
	if operator, ok := term["operator"].(object); ok {
		operator["enum"] = []any{"In", "NotIn", "Exists", "DoesNotExist"}
	}
	if values, ok := term["values"].(object); ok {
		values["maxItems"] = int64(maxTerms)
		values["items"] = object{"type": "string", "maxLength": int64(maxLabelValue)}
	}
}
