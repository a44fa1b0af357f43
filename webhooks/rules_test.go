// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// rule is one row of the published validation: what is written, and what the answer says. POLICY stands for the field that a version has for how Pods are
// updated, and rolling is patched into where that version has its settings.
type rule struct {
	patch, rolling string
	// wantField is the field that the refusal names; empty where it is accepted.
	wantField string
	// wantFix is what it says about how to mend it.
	wantFix string
	// only is the version that the rule is for; empty for both.
	only string
}

const (
	atLeastNone = "should be greater than or equal to 0"
	asPercent   = "write 5 or 25%"
	twoOfIt     = "Duplicate value"
)

// metadataRules are those about the object's own metadata.
func metadataRules() map[string]rule {
	return map[string]rule{
		"a name is a DNS name":           {patch: `metadata: {name: Web_1}`, wantField: "metadata.name", wantFix: "must consist of lower case alphanumeric characters"},
		"a name is not empty":            {patch: `metadata: {name: ""}`, wantField: "name", wantFix: "required"},
		"a label has a valid value":      {patch: `metadata: {labels: {a: "not a label"}}`, wantField: "metadata.labels", wantFix: "a valid label must"},
		"a label has a valid key":        {patch: `metadata: {labels: {"not a key": a}}`, wantField: "metadata.labels", wantFix: "must consist of alphanumeric characters"},
		"an annotation has a valid key":  {patch: `metadata: {annotations: {"not a key": a}}`, wantField: "metadata.annotations", wantFix: "must consist of alphanumeric characters"},
		"a finalizer is a qualified one": {patch: `metadata: {finalizers: ["not one"]}`, wantField: "metadata.finalizers", wantFix: "must consist of alphanumeric characters"},
	}
}

// podRules are those about replicas, selector and template.
func podRules() map[string]rule {
	return map[string]rule{
		"nothing at all may run":                          {patch: `spec: {replicas: 0}`},
		"replicas are not negative":                       {patch: `spec: {replicas: -1}`, wantField: "spec.replicas", wantFix: atLeastNone},
		"a selector is required":                          {patch: `spec: {selector: null}`, wantField: "spec.selector", wantFix: "Required value"},
		"a selector is not empty":                         {patch: `spec: {selector: {matchLabels: null}}`, wantField: "spec.selector", wantFix: "add matchLabels"},
		"a selector can be read":                          {patch: `spec: {selector: {matchLabels: {app: "not a label"}}, template: {metadata: {labels: {app: "not a label"}}}}`, wantField: "spec.selector", wantFix: "correct the selector"},
		"a selector has known operators":                  {patch: `spec: {selector: {matchExpressions: [{key: app, operator: Like, values: [web]}]}}`, wantField: "spec.selector.matchExpressions[0].operator", wantFix: `supported values: "In"`},
		"an operator has its values":                      {patch: `spec: {selector: {matchExpressions: [{key: app, operator: In}]}}`, wantField: "spec", wantFix: "selector.matchExpressions must all match"},
		"a selector matches the template's labels":        {patch: `spec: {selector: {matchLabels: {app: other}}}`, wantField: "spec", wantFix: "selector.matchLabels must all be in template.metadata.labels"},
		"an expression matches the template's labels too": {patch: `spec: {selector: {matchExpressions: [{key: zone, operator: Exists}]}}`, wantField: "spec", wantFix: "selector.matchExpressions must all match template.metadata.labels"},
		"a template is required":                          {patch: `spec: {template: null}`, wantField: "spec.template", wantFix: "Required value"},
		"a template has containers":                       {patch: `spec: {template: {spec: {containers: []}}}`, wantField: "spec.template.spec.containers", wantFix: "Required value"},
		"a container has an image":                        {patch: `spec: {template: {spec: {containers: [{name: main}]}}}`, wantField: "spec.template.spec.containers[0].image", wantFix: "Required value"},
		"a container has a name":                          {patch: `spec: {template: {spec: {containers: [{image: a}]}}}`, wantField: "spec.template.spec.containers[0].name", wantFix: "Required value"},
		"a container has a name of its own":               {patch: `spec: {template: {spec: {containers: [{name: a, image: a}, {name: a, image: b}]}}}`, wantField: "spec.template.spec.containers[1]", wantFix: twoOfIt},
		"a container has no fields that do not exist":     {patch: `spec: {template: {spec: {containers: [{name: a, image: a, imag: b}]}}}`, wantField: "spec.template.spec.containers[0].imag", wantFix: "correct its name or remove it"},
		"a port is one":                                   {patch: `spec: {template: {spec: {containers: [{name: a, image: a, ports: [{containerPort: 0}]}]}}}`, wantField: "spec.template.spec.containers[0].ports[0].containerPort", wantFix: "Required value"},
		"a volume that is mounted is there":               {patch: `spec: {template: {spec: {containers: [{name: a, image: a, volumeMounts: [{name: data, mountPath: /d}]}]}}}`, wantField: "spec.template.spec.containers[0].volumeMounts[0].name", wantFix: "Not found"},
		"a claim template may be mounted":                 {patch: `spec: {template: {spec: {containers: [{name: a, image: a, volumeMounts: [{name: data, mountPath: /d}]}]}}, volumeClaimTemplates: [{metadata: {name: data}}]}`},
		"a claim template has a name of a volume":         {patch: `spec: {volumeClaimTemplates: [{metadata: {name: No_Volume}}]}`, wantField: "spec.volumeClaimTemplates[0].metadata.name", wantFix: "a lowercase RFC 1123 label must"},
		"Pods are restarted":                              {patch: `spec: {template: {spec: {restartPolicy: OnFailure}}}`, wantField: "spec.template", wantFix: "restartPolicy must be Always: remove the field"},
		"Pods run for ever":                               {patch: `spec: {template: {spec: {activeDeadlineSeconds: 60}}}`, wantField: "spec.template", wantFix: "activeDeadlineSeconds is not allowed, as the Pods run for ever: remove the field"},
		"a Pod is deleted once":                           {patch: `spec: {scaleStrategy: {podsToDelete: [web-a, web-b, web-a]}}`, wantField: "spec.scaleStrategy.podsToDelete[2]", wantFix: twoOfIt},
		"a Pod to delete may be gone":                     {patch: `spec: {scaleStrategy: {podsToDelete: [web-a]}}`},
		"a deadline is after minReadySeconds":             {patch: `spec: {minReadySeconds: 10, progressDeadlineSeconds: 10}`, wantField: "spec", wantFix: "progressDeadlineSeconds must be larger than minReadySeconds"},
		"a deadline is not negative":                      {patch: `spec: {progressDeadlineSeconds: -1}`, wantField: "spec.progressDeadlineSeconds", wantFix: atLeastNone},
		"a deadline may be none":                          {patch: `spec: {minReadySeconds: 2147483647, progressDeadlineSeconds: 2147483647}`},
		"minReadySeconds are not negative":                {patch: `spec: {minReadySeconds: -1}`, wantField: "spec.minReadySeconds", wantFix: atLeastNone},
	}
}

// updateRules are those about how Pods are updated.
func updateRules() map[string]rule {
	return map[string]rule{
		"a policy is a known one":                         {rolling: `{POLICY: Recreate}`, wantField: "POLICY", wantFix: `supported values: "ReCreate", "InPlaceIfPossible", "InPlaceOnly"`},
		"an update may wait for deletion":                 {patch: `spec: {updateStrategy: {type: OnDelete}}`},
		"a type is a known one":                           {patch: `spec: {updateStrategy: {type: Rolling}}`, wantField: "spec.updateStrategy.type", wantFix: "supported values: "},
		"a partition may be a number":                     {rolling: `{partition: 2}`},
		"a partition may be a part":                       {rolling: `{partition: 33.3%}`},
		"a partition is not negative":                     {rolling: `{partition: -1}`, wantField: "partition", wantFix: asPercent},
		"a partition is no part below nothing":            {rolling: `{partition: "-5%"}`, wantField: "partition", wantFix: asPercent},
		"a percentage has its sign in a partition":        {rolling: `{partition: "5"}`, wantField: "partition", wantFix: asPercent},
		"a percentage has its sign in maxUnavailable":     {rolling: `{maxUnavailable: "5"}`, wantField: "maxUnavailable", wantFix: asPercent},
		"a percentage has its sign in maxSurge":           {rolling: `{maxSurge: "5"}`, wantField: "maxSurge", wantFix: asPercent},
		"a percentage has its sign when scaling":          {patch: `spec: {scaleStrategy: {maxUnavailable: "5"}}`, wantField: "scaleStrategy.maxUnavailable", wantFix: asPercent},
		"in place only goes without surge":                {rolling: `{POLICY: InPlaceOnly, maxSurge: 1}`, wantField: "maxSurge", wantFix: "remove maxSurge or use InPlaceIfPossible"},
		"an update can begin":                             {rolling: `{maxUnavailable: 0, maxSurge: 0}`, wantField: "maxUnavailable", wantFix: "must not both be 0"},
		"an update can begin by percent":                  {rolling: `{maxUnavailable: 0%}`, wantField: "maxUnavailable", wantFix: "must not both be 0"},
		"a surge is enough for an update to begin":        {rolling: `{maxUnavailable: 0, maxSurge: 1}`},
		"no update need begin where nothing runs":         {patch: `spec: {replicas: 0}`, rolling: `{maxUnavailable: 0, maxSurge: 0}`},
		"a priority is by weight or by order":             {rolling: `{priorityStrategy: {orderPriority: [{orderedKey: a}], weightPriority: [{weight: 1, matchSelector: {matchLabels: {a: b}}}]}}`, wantField: "priorityStrategy", wantFix: "must have orderPriority or weightPriority, not both"},
		"a weight is at most 100":                         {rolling: `{priorityStrategy: {weightPriority: [{weight: 101, matchSelector: {matchLabels: {a: b}}}]}}`, wantField: "weightPriority[0].weight", wantFix: "should be less than or equal to 100"},
		"a weight is not negative":                        {rolling: `{priorityStrategy: {weightPriority: [{weight: -1, matchSelector: {matchLabels: {a: b}}}]}}`, wantField: "weightPriority[0].weight", wantFix: atLeastNone},
		"a weight is for some Pods":                       {rolling: `{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {}}]}}`, wantField: "weightPriority[0].matchSelector", wantFix: "must not be empty"},
		"a weight's selector can be read":                 {rolling: `{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {matchExpressions: [{key: a, operator: In}]}}]}}`, wantField: "ROLLING.priorityStrategy.weightPriority[0].matchSelector", wantFix: "correct the selector"},
		"a weight's labels can be labels":                 {rolling: `{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {matchLabels: {a: "not a label"}}}]}}`, wantField: "ROLLING.priorityStrategy.weightPriority[0].matchSelector", wantFix: "correct the selector"},
		"an order has a key":                              {rolling: `{priorityStrategy: {orderPriority: [{orderedKey: ""}]}}`, wantField: "orderPriority[0].orderedKey", wantFix: "should be at least 1 chars long"},
		"a scattered label has a key":                     {rolling: `{scatterStrategy: [{key: "", value: b}]}`, wantField: "scatterStrategy[0].key", wantFix: "should be at least 1 chars long"},
		"a label is scattered once":                       {rolling: `{scatterStrategy: [{key: a, value: b}, {key: a, value: b}]}`, wantField: "scatterStrategy[1]", wantFix: twoOfIt},
		"a label is scattered by several of its values":   {rolling: `{scatterStrategy: [{key: a, value: b}, {key: a, value: c}]}`},
		"images are pulled ahead on a number of nodes":    {rolling: `{inPlaceUpdateStrategy: {imagePreDownloadParallelism: five}}`, wantField: "imagePreDownloadParallelism", wantFix: "must be a number of nodes"},
		"images are not pulled on fewer nodes than none":  {rolling: `{inPlaceUpdateStrategy: {imagePreDownloadParallelism: -1}}`, wantField: "imagePreDownloadParallelism", wantFix: "must be a number of nodes"},
		"images are not pulled for a negative time":       {rolling: `{inPlaceUpdateStrategy: {imagePreDownloadTimeoutSeconds: -1}}`, wantField: "imagePreDownloadTimeoutSeconds", wantFix: atLeastNone},
		"images do not wait for less than no Pods":        {rolling: `{inPlaceUpdateStrategy: {imagePreDownloadMinUpdatedReadyPods: -1}}`, wantField: "imagePreDownloadMinUpdatedReadyPods", wantFix: atLeastNone},
		"images are pulled ahead by annotation":           {patch: `metadata: {annotations: {apps.kruise.io/image-predownload-parallelism: "10%"}}`, only: "v1alpha1"},
		"an annotation that cannot be read means nothing": {patch: `metadata: {annotations: {apps.kruise.io/image-predownload-timeout-seconds: soon}}`, only: "v1alpha1"},
		"a grace period is not negative":                  {rolling: `{inPlaceUpdateStrategy: {gracePeriodSeconds: -1}}`, wantField: "gracePeriodSeconds", wantFix: atLeastNone},
	}
}

// changeRules are those about what an update of the object may change.
func changeRules() map[string]rule {
	return map[string]rule{
		"replicas may change":              {patch: `spec: {replicas: 7}`},
		"a template may change":            {patch: `spec: {template: {spec: {containers: [{name: main, image: "web:2"}]}}}`},
		"a lifecycle may change":           {patch: `spec: {lifecycle: {preDelete: {finalizersHandler: [a.b/c]}}}`},
		"how it scales may change":         {patch: `spec: {scaleStrategy: {maxUnavailable: 1}}`},
		"how it updates may change":        {rolling: `{POLICY: InPlaceIfPossible, partition: 1}`},
		"minReadySeconds may change":       {patch: `spec: {minReadySeconds: 5}`},
		"a deadline may change":            {patch: `spec: {progressDeadlineSeconds: 60}`},
		"claim templates may change":       {patch: `spec: {volumeClaimTemplates: [{metadata: {name: data}}]}`},
		"the limit of history may change":  {patch: `spec: {revisionHistoryLimit: 3}`},
		"the selector must not change":     {patch: `spec: {selector: {matchLabels: {tier: front}}}`, wantField: "spec.selector", wantFix: "create a CloneSet of another name instead"},
		"an empty selector does not do it": {patch: `spec: {selector: {matchLabels: null}}`, wantField: "spec.selector", wantFix: "add matchLabels"},
		"what cannot be in place may wait": {patch: `spec: {template: {spec: {containers: [{name: main, image: web, command: [serve]}]}}}`, rolling: `{POLICY: InPlaceOnly}`},
	}
}

func publishedRules(w *world, _ []*replica) {
	for _, version := range []string{"v1alpha1", "v1beta1"} {
		stored := patched(w.T, version, "metadata: {name: ruled-"+version+"}")
		require.NoError(w, w.Create(w.Context(), stored))
		for _, rules := range []map[string]rule{metadataRules(), podRules(), updateRules()} {
			judge(w, version, rules, func(r rule) error {
				return w.Create(w.Context(), patched(w.T, version, r.in(version)...), client.DryRunAll)
			})
		}
		judge(w, version, changeRules(), func(r rule) error {
			changed := patched(w.T, version, append([]string{"metadata: {name: ruled-" + version + "}"}, r.in(version)...)...)
			changed.SetResourceVersion(stored.GetResourceVersion())
			return w.Update(w.Context(), changed, client.DryRunAll)
		})
	}
}

func judge(w *world, version string, rules map[string]rule, write func(rule) error) {
	for name, r := range rules {
		if r.only != "" && r.only != version {
			continue
		}
		w.Run(version+": "+name, func(t *testing.T) {
			err := write(r)
			if r.wantField == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), named(version, r.wantField))
			assert.Contains(t, err.Error(), r.wantFix)
			assert.True(t, apierrors.IsInvalid(err) || r.patch == `metadata: {name: ""}`, "%v", err)
		})
	}
}

// named puts the names that a version has for its fields into a text.
func named(version, text string) string {
	if version == "v1alpha1" {
		return strings.NewReplacer("POLICY", "type", "ROLLING", "spec.updateStrategy").Replace(text)
	}
	return strings.NewReplacer("POLICY", "podUpdatePolicy", "ROLLING", "spec.updateStrategy.rollingUpdate").Replace(text)
}

// in are the patches of a rule in a version.
func (r rule) in(version string) []string {
	patches := []string{r.patch}
	if r.rolling != "" && version == "v1alpha1" {
		patches = append(patches, "spec: {updateStrategy: "+named(version, r.rolling)+"}")
	} else if r.rolling != "" {
		patches = append(patches, "spec: {updateStrategy: {rollingUpdate: "+named(version, r.rolling)+"}}")
	}
	return patches
}

// patched is a CloneSet that nobody objects to, after merge patches.
func patched(t *testing.T, version string, patches ...string) *unstructured.Unstructured {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(`
metadata: {name: ruled, namespace: default}
spec:
  replicas: 5
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      containers: [{name: main, image: web}]
`))
	require.NoError(t, err)
	for _, patch := range patches {
		changes, err := yaml.YAMLToJSON([]byte(patch))
		require.NoError(t, err)
		if string(changes) == "null" {
			continue
		}
		text, err = jsonpatch.MergePatch(text, changes)
		require.NoError(t, err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{}}
	require.NoError(t, yaml.Unmarshal(text, &object.Object))
	object.SetAPIVersion("apps.kruise.io/" + version)
	object.SetKind("CloneSet")
	return object
}
