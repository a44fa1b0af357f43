// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A case is a merge patch on the base object; no wanted error means that the object is accepted.
type validationCase struct {
	patch   string
	wantErr string
}

const (
	notNumber  = "must be a number of Pods, 0 to 2147483647, or a percentage with its sign"
	bothZero   = "maxUnavailable and maxSurge must not both be 0"
	onlySurge  = "maxSurge must be 0 with InPlaceOnly"
	notMatched = "selector.matchLabels must all be in template.metadata.labels with the same values"
	notMet     = "selector.matchExpressions must all match template.metadata.labels"
)

func TestValidationOfTheSelector(t *testing.T) {
	tests := map[string]validationCase{
		"the base object":          {},
		"scaled to nothing":        {patch: `spec: {replicas: 0}`},
		"negative replicas":        {patch: `spec: {replicas: -1}`, wantErr: "spec.replicas"},
		"no spec":                  {patch: `spec: null`, wantErr: "spec: Required value"},
		"no selector":              {patch: `spec: {selector: null}`, wantErr: "spec.selector: Required value"},
		"no template":              {patch: `spec: {template: null}`, wantErr: "spec.template: Required value"},
		"an empty selector":        {patch: `spec: {selector: {matchLabels: null}}`, wantErr: "selector must not be empty"},
		"an empty matchLabels":     {patch: `spec: {selector: {matchLabels: {app: null}}}`, wantErr: "selector must not be empty"},
		"a value of another label": {patch: `spec: {selector: {matchLabels: {app: other}}}`, wantErr: notMatched},
		"a label the template has not": {
			patch: `spec: {selector: {matchLabels: {zone: a}}}`, wantErr: notMatched,
		},
		"a template with no labels": {patch: `spec: {template: {metadata: null}}`, wantErr: notMatched},
		"an expression that matches": {
			patch: `spec: {selector: {matchExpressions: [
			  {key: tier, operator: In, values: [front, back]}, {key: tier, operator: NotIn, values: [back]},
			  {key: app, operator: Exists}, {key: zone, operator: DoesNotExist}, {key: zone, operator: NotIn, values: [a]}]}}`,
		},
		"an expression over a value the template has not": {
			patch: `spec: {selector: {matchExpressions: [{key: tier, operator: In, values: [back]}]}}`, wantErr: notMet,
		},
		"an expression over a key the template has not": {
			patch: `spec: {selector: {matchExpressions: [{key: zone, operator: Exists}]}}`, wantErr: notMet,
		},
		"an operator that does not exist": {
			patch:   `spec: {selector: {matchExpressions: [{key: app, operator: Is, values: [web]}]}}`,
			wantErr: "spec.selector.matchExpressions[0].operator: Unsupported value",
		},
	}
	checkBothVersions(t, tests)
}

func TestValidationOfTheRest(t *testing.T) {
	tests := map[string]validationCase{
		"a Pod that is not restarted": {
			patch:   `spec: {template: {spec: {restartPolicy: Never}}}`,
			wantErr: "template.spec.restartPolicy must be Always",
		},
		"a Pod that says it is restarted": {patch: `spec: {template: {spec: {restartPolicy: Always}}}`},
		"a Pod with a deadline": {
			patch:   `spec: {template: {spec: {activeDeadlineSeconds: 60}}}`,
			wantErr: "template.spec.activeDeadlineSeconds is not allowed",
		},
		"two containers of one name": {
			patch:   `spec: {template: {spec: {containers: [{name: a}, {name: a}]}}}`,
			wantErr: `spec.template.spec.containers[1]: Duplicate value`,
		},
		"a container without a name": {
			patch:   `spec: {template: {spec: {containers: [{image: web}]}}}`,
			wantErr: "spec.template.spec.containers[0].name: Required value",
		},
		"a Pod to delete twice": {
			patch:   `spec: {scaleStrategy: {podsToDelete: [web-a, web-b, web-a]}}`,
			wantErr: "spec.scaleStrategy.podsToDelete[2]: Duplicate value",
		},
		"a slow scale-out":                {patch: `spec: {scaleStrategy: {maxUnavailable: 10%}}`},
		"a nonsensical scale-out":         {patch: `spec: {scaleStrategy: {maxUnavailable: "5"}}`, wantErr: "scaleStrategy.maxUnavailable " + notNumber},
		"a negative scale-out":            {patch: `spec: {scaleStrategy: {maxUnavailable: -1}}`, wantErr: "scaleStrategy.maxUnavailable " + notNumber},
		"a scale-out that no int32 holds": {patch: `spec: {scaleStrategy: {maxUnavailable: 2147483648}}`, wantErr: "scaleStrategy.maxUnavailable " + notNumber},
		"replicas that no int32 holds":    {patch: `spec: {replicas: 2147483648}`, wantErr: "spec.replicas"},
		"a history that no int32 holds":   {patch: `spec: {revisionHistoryLimit: 2147483648}`, wantErr: "spec.revisionHistoryLimit"},
		"a deadline that no int32 holds":  {patch: `spec: {progressDeadlineSeconds: 2147483648}`, wantErr: "spec.progressDeadlineSeconds"},
		"seconds that no int32 holds":     {patch: `spec: {minReadySeconds: 2147483648}`, wantErr: "spec.minReadySeconds"},
		"as many claims as there may be":  {patch: claims(256)},
		"more claims than there may be":   {patch: claims(257), wantErr: "spec.volumeClaimTemplates: Too many"},
		"negative minReadySeconds":        {patch: `spec: {minReadySeconds: -1}`, wantErr: "spec.minReadySeconds"},
		"negative revisionHistoryLimit":   {patch: `spec: {revisionHistoryLimit: -1}`, wantErr: "spec.revisionHistoryLimit"},
		"no history":                      {patch: `spec: {revisionHistoryLimit: 0}`},
		"a deadline after minReady":       {patch: `spec: {minReadySeconds: 10, progressDeadlineSeconds: 11}`},
		"a deadline that is no deadline":  {patch: `spec: {minReadySeconds: 2147483647, progressDeadlineSeconds: 2147483647}`},
		"a deadline before minReady":      {patch: `spec: {minReadySeconds: 10, progressDeadlineSeconds: 10}`, wantErr: "progressDeadlineSeconds must be larger than minReadySeconds"},
		"a deadline of nothing":           {patch: `spec: {progressDeadlineSeconds: 0}`, wantErr: "progressDeadlineSeconds must be larger than minReadySeconds"},
		"hooks by label and by finalizer": {patch: `spec: {lifecycle: {preDelete: {labelsHandler: {a: b}, finalizersHandler: [x.io/y], markPodNotReady: true}}}`},
	}
	checkBothVersions(t, tests)
}

// claims is a patch with so many claim templates.
func claims(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("{metadata: {name: c%d}}", i)
	}
	return "spec: {volumeClaimTemplates: [" + strings.Join(all, ", ") + "]}"
}

// checkBothVersions is for patches that are the same in both versions.
func checkBothVersions(t *testing.T, tests map[string]validationCase) {
	t.Helper()
	c := newClient(t)
	for _, version := range []string{"v1alpha1", "v1beta1"} {
		for name, tc := range tests {
			t.Run(version+" with "+name, func(t *testing.T) { check(t, c, version, tc) })
		}
	}
}

func TestValidationOfLimits(t *testing.T) {
	tests := map[string]validationCase{
		"nothing":                              {patch: `{}`},
		"a partition by number":                {patch: `{partition: 3}`},
		"a partition by percentage":            {patch: `{partition: 60%}`},
		"a partition with a fraction":          {patch: `{partition: 33.3%}`},
		"a partition beyond all":               {patch: `{partition: 150%}`},
		"a partition beyond replicas":          {patch: `{partition: 50}`},
		"a negative partition":                 {patch: `{partition: -1}`, wantErr: "partition " + notNumber},
		"a partition without its sign":         {patch: `{partition: "5"}`, wantErr: "partition " + notNumber},
		"a partition with a tail":              {patch: `{partition: 120%x}`, wantErr: "partition " + notNumber},
		"a partition below nothing by percent": {patch: `{partition: -5%}`, wantErr: "partition " + notNumber},
		"a partition of words":                 {patch: `{partition: half}`, wantErr: "partition " + notNumber},
		"a partition of nothing":               {patch: `{partition: ""}`, wantErr: "partition " + notNumber},
		"a partition of very many digits":      {patch: `{partition: "99999999999999999999%"}`, wantErr: "partition"},
		"maxUnavailable by percentage":         {patch: `{maxUnavailable: 20%}`},
		"maxUnavailable of all":                {patch: `{maxUnavailable: 100%}`},
		"maxUnavailable beyond all":            {patch: `{maxUnavailable: 120%}`},
		"maxUnavailable with a fraction":       {patch: `{maxUnavailable: 33.3%}`, wantErr: "maxUnavailable " + notNumber},
		"maxUnavailable without its sign":      {patch: `{maxUnavailable: "5"}`, wantErr: "maxUnavailable " + notNumber},
		"maxUnavailable with a tail":           {patch: `{maxUnavailable: 120%x}`, wantErr: "maxUnavailable " + notNumber},
		"negative maxUnavailable":              {patch: `{maxUnavailable: -1}`, wantErr: "maxUnavailable " + notNumber},
		"maxSurge by number":                   {patch: `{maxSurge: 2}`},
		"maxSurge with a tail":                 {patch: `{maxSurge: 120%x}`, wantErr: "maxSurge " + notNumber},
		"negative maxSurge":                    {patch: `{maxSurge: -1}`, wantErr: "maxSurge " + notNumber},
		"maxUnavailable of nothing":            {patch: `{maxUnavailable: 0}`, wantErr: bothZero},
		"maxUnavailable of no percent":         {patch: `{maxUnavailable: 0%}`, wantErr: bothZero},
		"both of nothing":                      {patch: `{maxUnavailable: 0, maxSurge: 0%}`, wantErr: bothZero},
		"surge instead of unavailability":      {patch: `{maxUnavailable: 0, maxSurge: 1}`},
		"surge by percentage instead":          {patch: `{maxUnavailable: 0%, maxSurge: 10%}`},
		"maxSurge of nothing":                  {patch: `{maxSurge: 0}`},
		"a partition of the largest number":    {patch: `{partition: 2147483647}`},
		"a partition that no int32 holds":      {patch: `{partition: 2147483648}`, wantErr: "partition " + notNumber},
		"maxUnavailable that no int32 holds":   {patch: `{maxUnavailable: 2147483648}`, wantErr: "maxUnavailable " + notNumber},
		"maxSurge that no int32 holds":         {patch: `{maxSurge: 4294967296}`, wantErr: "maxSurge " + notNumber},
	}
	checkUpdateStrategies(t, tests)
}

func TestValidationOfPoliciesAndOrder(t *testing.T) {
	tests := map[string]validationCase{
		"in place only with surge":                 {patch: `{POLICY: InPlaceOnly, maxSurge: 1}`, wantErr: onlySurge},
		"in place only with surge by percent":      {patch: `{POLICY: InPlaceOnly, maxSurge: 10%}`, wantErr: onlySurge},
		"in place only with no surge":              {patch: `{POLICY: InPlaceOnly, maxSurge: 0}`},
		"in place if possible with surge":          {patch: `{POLICY: InPlaceIfPossible, maxSurge: 1}`},
		"recreation":                               {patch: `{POLICY: ReCreate}`},
		"an empty policy":                          {patch: `{POLICY: ""}`},
		"an unknown policy":                        {patch: `{POLICY: Recreate}`, wantErr: "POLICY: Unsupported value"},
		"a grace period":                           {patch: `{inPlaceUpdateStrategy: {gracePeriodSeconds: 10}}`},
		"a negative grace period":                  {patch: `{inPlaceUpdateStrategy: {gracePeriodSeconds: -1}}`, wantErr: "inPlaceUpdateStrategy.gracePeriodSeconds"},
		"pre-download on some nodes":               {patch: `{inPlaceUpdateStrategy: {imagePreDownloadParallelism: 5}}`},
		"pre-download on a part of the nodes":      {patch: `{inPlaceUpdateStrategy: {imagePreDownloadParallelism: 5%}}`},
		"pre-download on some nodes in quotes":     {patch: `{inPlaceUpdateStrategy: {imagePreDownloadParallelism: "50"}}`},
		"pre-download on too many nodes":           {patch: `{inPlaceUpdateStrategy: {imagePreDownloadParallelism: 2147483648}}`, wantErr: "imagePreDownloadParallelism must be a number of nodes"},
		"a grace period that no int32 holds":       {patch: `{inPlaceUpdateStrategy: {gracePeriodSeconds: 2147483648}}`, wantErr: "gracePeriodSeconds"},
		"pre-download on nonsense":                 {patch: `{inPlaceUpdateStrategy: {imagePreDownloadParallelism: five}}`, wantErr: "imagePreDownloadParallelism must be a number of nodes"},
		"pre-download for a negative time":         {patch: `{inPlaceUpdateStrategy: {imagePreDownloadTimeoutSeconds: -1}}`, wantErr: "imagePreDownloadTimeoutSeconds"},
		"priority by weight":                       {patch: `{priorityStrategy: {weightPriority: [{weight: 100, matchSelector: {matchLabels: {a: b}}}, {weight: 0, matchSelector: {matchExpressions: [{key: a, operator: Exists}]}}]}}`},
		"priority by order":                        {patch: `{priorityStrategy: {orderPriority: [{orderedKey: a}]}}`},
		"priority by nothing":                      {patch: `{priorityStrategy: {}}`},
		"priority by both":                         {patch: `{priorityStrategy: {orderPriority: [{orderedKey: a}], weightPriority: [{weight: 1, matchSelector: {matchLabels: {a: b}}}]}}`, wantErr: "priorityStrategy must have orderPriority or weightPriority, not both"},
		"too large a weight":                       {patch: `{priorityStrategy: {weightPriority: [{weight: 101, matchSelector: {matchLabels: {a: b}}}]}}`, wantErr: "weightPriority[0].weight"},
		"a negative weight":                        {patch: `{priorityStrategy: {weightPriority: [{weight: -1, matchSelector: {matchLabels: {a: b}}}]}}`, wantErr: "weightPriority[0].weight"},
		"a weight for every Pod":                   {patch: `{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {}}]}}`, wantErr: "matchSelector must not be empty"},
		"a weight with an operator without values": {patch: `{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}]}}`, wantErr: "matchExpressions must have values with In and NotIn"},
		"a weight with values for nothing":         {patch: `{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}]}}`, wantErr: "and none with Exists and DoesNotExist: correct the selector"},
		"a weight by every operator":               {patch: `{priorityStrategy: {weightPriority: [{weight: 1, matchSelector: {matchExpressions: [{key: a, operator: In, values: [b]}, {key: a, operator: NotIn, values: [c, d]}, {key: a, operator: Exists}, {key: b, operator: DoesNotExist, values: []}]}}]}}`},
		"an order without a key":                   {patch: `{priorityStrategy: {orderPriority: [{orderedKey: ""}]}}`, wantErr: "orderPriority[0].orderedKey"},
		"scattering":                               {patch: `{scatterStrategy: [{key: a, value: b}, {key: a, value: c}]}`},
		"scattering the same twice":                {patch: `{scatterStrategy: [{key: a, value: b}, {key: a, value: b}]}`, wantErr: "scatterStrategy[1]: Duplicate value"},
		"scattering without a key":                 {patch: `{scatterStrategy: [{key: "", value: b}]}`, wantErr: "scatterStrategy[0].key"},
	}
	checkUpdateStrategies(t, tests)
}

// checkUpdateStrategies is for patches of the settings of an update. They stand at two places: in updateStrategy of v1alpha1,
// and in updateStrategy.rollingUpdate of v1beta1.
func checkUpdateStrategies(t *testing.T, tests map[string]validationCase) {
	t.Helper()
	c := newClient(t)
	for name, tc := range tests {
		t.Run("v1beta1 with "+name, func(t *testing.T) {
			check(t, c, "v1beta1", validationCase{
				patch:   "spec: {updateStrategy: {rollingUpdate: " + forVersion(tc.patch, "podUpdatePolicy") + "}}",
				wantErr: forVersion(tc.wantErr, "spec.updateStrategy.rollingUpdate.podUpdatePolicy"),
			})
		})
		t.Run("v1alpha1 with "+name, func(t *testing.T) {
			check(t, c, "v1alpha1", validationCase{
				patch:   "spec: {updateStrategy: " + forVersion(tc.patch, "type") + "}",
				wantErr: forVersion(tc.wantErr, "spec.updateStrategy.type"),
			})
		})
	}
}

func TestValidationOfOneVersion(t *testing.T) {
	tests := map[string]validationCase{
		"v1beta1 on delete":                                {patch: `spec: {updateStrategy: {type: OnDelete}}`},
		"v1beta1 on delete with settings that rest":        {patch: `spec: {updateStrategy: {type: OnDelete, rollingUpdate: {maxUnavailable: 0, partition: 3}}}`},
		"v1beta1 with an empty type":                       {patch: `spec: {updateStrategy: {type: ""}}`},
		"v1beta1 with a type of v1alpha1":                  {patch: `spec: {updateStrategy: {type: InPlaceOnly}}`, wantErr: "spec.updateStrategy.type: Unsupported value"},
		"v1alpha1 on delete":                               {patch: `spec: {updateStrategy: {type: OnDelete}}`},
		"v1alpha1 on delete with settings that rest":       {patch: `spec: {updateStrategy: {type: OnDelete, maxUnavailable: 0}}`},
		"v1alpha1 with a type of v1beta1":                  {patch: `spec: {updateStrategy: {type: RollingUpdate}}`, wantErr: "spec.updateStrategy.type: Unsupported value"},
		"v1beta1 that may not be available at no replicas": {patch: `spec: {replicas: 0, updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}`},
	}
	c := newClient(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			version := "v1beta1"
			if name[:len("v1alpha1")] == "v1alpha1" {
				version = "v1alpha1"
			}
			check(t, c, version, tc)
		})
	}
}

func TestNullsThatTemplatingToolsWrite(t *testing.T) {
	c := newClient(t)
	obj := cloneSet(t, "")
	template := obj.Object["spec"].(map[string]any)["template"].(map[string]any)
	template["spec"].(map[string]any)["volumes"] = nil
	template["spec"].(map[string]any)["imagePullSecrets"] = nil
	template["spec"].(map[string]any)["activeDeadlineSeconds"] = nil
	template["spec"].(map[string]any)["restartPolicy"] = nil
	template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["env"] = nil
	template["metadata"].(map[string]any)["annotations"] = nil
	template["metadata"].(map[string]any)["creationTimestamp"] = nil
	obj.Object["spec"].(map[string]any)["volumeClaimTemplates"] = nil
	assert.NoError(t, c.Create(t.Context(), obj, client.DryRunAll))
}

func TestSelectorCannotChange(t *testing.T) {
	c := newClient(t)
	obj := cloneSet(t, `metadata: {name: selector}`)
	require.NoError(t, c.Create(t.Context(), obj))

	changed := obj.DeepCopy()
	changed.Object["spec"].(map[string]any)["selector"] = map[string]any{"matchLabels": map[string]any{"tier": "front"}}
	assert.ErrorContains(t, c.Update(t.Context(), changed), "selector cannot change")

	changed = cloneSet(t, `
metadata: {name: selector}
spec:
  replicas: 3
  revisionHistoryLimit: 2
  minReadySeconds: 1
  progressDeadlineSeconds: 60
  scaleStrategy: {podsToDelete: [a]}
  updateStrategy: {type: OnDelete}
  lifecycle: {preDelete: {finalizersHandler: [a.io/b]}}
  volumeClaimTemplates: [{metadata: {name: data}}]
  template: {spec: {containers: [{name: main, image: web:v2}]}}`)
	changed.SetResourceVersion(obj.GetResourceVersion())
	assert.NoError(t, c.Update(t.Context(), changed), "everything else may change")
}

func check(t *testing.T, c client.Client, version string, tc validationCase) {
	t.Helper()
	obj := cloneSet(t, tc.patch)
	obj.SetAPIVersion("apps.kruise.io/" + version)
	err := c.Create(t.Context(), obj, client.DryRunAll)
	if tc.wantErr == "" {
		assert.NoError(t, err)
		return
	}
	assert.ErrorContains(t, err, tc.wantErr)
}

// forVersion puts the name that a version has for the policy into a text.
func forVersion(text, policy string) string {
	return strings.ReplaceAll(text, "POLICY", policy)
}
