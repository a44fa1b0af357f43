// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
)

type object = map[string]any

// finish changes one CRD in place.
func finish(crd object) error {
	metadata, ok := crd["metadata"].(object)
	if !ok {
		return errors.New("it has no metadata")
	}
	spec, ok := crd["spec"].(object)
	if !ok {
		return errors.New("it has no spec")
	}
	decorate(metadata)
	versions, _ := spec["versions"].([]any)
	for _, v := range versions {
		version, _ := v.(object)
		schema, _ := version["schema"].(object)
		root, ok := schema["openAPIV3Schema"].(object)
		if !ok {
			return fmt.Errorf("version %v has no schema", version["name"])
		}
		visit(root)
	}
	if len(versions) > 1 {
		spec["conversion"] = conversion()
	}
	return nil
}

// decorate sets labels and annotations. Argo CD applies a CRD server-side, as it may be too large for an annotation, and
// neither prunes nor deletes it without being told to: with it all objects of its kind would go.
func decorate(metadata object) {
	metadata["labels"] = object{
		"app.kubernetes.io/name":      "keelson",
		"app.kubernetes.io/component": "crd",
	}
	annotations, ok := metadata["annotations"].(object)
	if !ok {
		annotations = object{}
		metadata["annotations"] = annotations
	}
	annotations["argocd.argoproj.io/sync-options"] = "ServerSideApply=true,Prune=false,Delete=confirm"
}

// conversion says who converts between versions. The CA bundle is published at run time, by its own field manager.
func conversion() object {
	return object{
		"strategy": "Webhook",
		"webhook": object{
			"conversionReviewVersions": []any{"v1"},
			"clientConfig": object{
				"service": object{
					"namespace": "kruise-system",
					"name":      "kruise-webhook-service",
					"path":      "/convert",
					"port":      int64(443),
				},
			},
		},
	}
}

// visit walks a schema and finishes the nodes that it knows.
func visit(node object) {
	if properties, ok := node["properties"].(object); ok {
		for name, p := range properties {
			property, ok := p.(object)
			if !ok {
				continue
			}
			switch {
			case name == "template" && isOpaque(property):
				replace(property, podTemplate())
			case name == "volumeClaimTemplates" && isOpaque(property):
				replace(property, claimTemplates())
			case isLabelSelector(property):
				boundSelector(property)
			}
			visit(property)
		}
	}
	for _, child := range []string{"items", "additionalProperties"} {
		if schema, ok := node[child].(object); ok {
			visit(schema)
		}
	}
}

// isOpaque says whether controller-gen was told to write no schema.
func isOpaque(node object) bool {
	_, typed := node["type"]
	return !typed && node["x-kubernetes-preserve-unknown-fields"] == true
}

// replace puts a schema where there was none, and keeps the description and the rules.
func replace(node, schema object) {
	delete(node, "x-kubernetes-preserve-unknown-fields")
	for key, value := range schema {
		node[key] = value
	}
}

// podTemplate is the skeleton of a PodTemplateSpec.
func podTemplate() object {
	return preserved(object{
		"metadata": nullable(preserved(object{
			"labels": nullable(object{"type": "object", "additionalProperties": object{"type": "string"}}),
		})),
		"spec": preserved(object{
			"activeDeadlineSeconds": nullable(object{"type": "integer", "format": "int64"}),
			"containers":            containers(),
			"ephemeralContainers":   containers(),
			"imagePullSecrets":      merged("name", nil),
			"initContainers":        containers(),
			"restartPolicy":         nullable(object{"type": "string"}),
			"volumes":               merged("name", nil),
		}),
	})
}

// maxClaims is more than any Pod can mount.
const maxClaims = 256

func claimTemplates() object {
	schema := list(preserved(nil))
	schema["maxItems"] = int64(maxClaims)
	return schema
}

func containers() object {
	return merged("name", object{
		"env":          merged("name", nil),
		"volumeMounts": merged("mountPath", nil),
	})
}

// merged is a list whose entries are told apart by a key, so that several field managers can own entries of it.
func merged(key string, properties object) object {
	all := object{key: object{"type": "string"}}
	for name, property := range properties {
		all[name] = property
	}
	items := preserved(all)
	items["required"] = []any{key}
	schema := list(items)
	schema["x-kubernetes-list-type"] = "map"
	schema["x-kubernetes-list-map-keys"] = []any{key}
	return schema
}

// list is a list that may also be written as null, as templating tools do for an empty one and native workloads accept.
func list(items object) object {
	return nullable(object{"type": "array", "items": items})
}

func nullable(schema object) object {
	schema["nullable"] = true
	return schema
}

// preserved is an object that keeps what it does not know.
func preserved(properties object) object {
	schema := object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	if len(properties) > 0 {
		schema["properties"] = properties
	}
	return schema
}
