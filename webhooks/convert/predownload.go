// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"math"
	"strconv"
	"strings"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
)

// preDownload is one setting of the pull of images ahead of an update: an annotation in v1alpha1, a field in v1beta1.
type preDownload struct {
	annotation, field string
	isPercentAllowed  bool
}

func preDownloads() []preDownload {
	return []preDownload{
		{kruisev1alpha1.ImagePreDownloadParallelismKey, "imagePreDownloadParallelism", true},
		{kruisev1alpha1.ImagePreDownloadTimeoutSecondsKey, "imagePreDownloadTimeoutSeconds", false},
		{kruisev1alpha1.ImagePreDownloadMinUpdatedReadyPodsKey, "imagePreDownloadMinUpdatedReadyPods", false},
	}
}

// parse reads the value of the annotation; false when it is no such value and means nothing.
func (p preDownload) parse(annotation any) (any, bool) {
	s, ok := annotation.(string)
	if !ok {
		return nil, false
	}
	if number, isPercent := strings.CutSuffix(s, "%"); isPercent && p.isPercentAllowed {
		return s, isDigits(number)
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return nil, false
	}
	return n, true
}

// print writes the value of the field as an annotation; false when no annotation can say it.
func (p preDownload) print(field any) (string, bool) {
	switch value := field.(type) {
	case int64:
		return strconv.FormatInt(value, 10), value >= 0 && value <= math.MaxInt32
	case string:
		// A number in quotes is that number, in the digits that come back from an annotation; which quotes and digits it had is kept beside it.
		if n, err := strconv.Atoi(value); err == nil && isDigits(value) {
			return strconv.Itoa(n), p.isPercentAllowed
		}
		_, ok := p.parse(value)
		return value, ok && strings.HasSuffix(value, "%")
	}
	return "", false
}

// isDigits says that a text is a number as the schema of v1beta1 takes it in quotes or before a sign.
func isDigits(s string) bool {
	return s != "" && len(s) <= 9 && strings.Trim(s, "0123456789") == ""
}

// preDownloadToHub moves the annotations into fields. The annotation wins over a field of the same meaning, which v1alpha1
// has but never read.
func preDownloadToHub(v view) error {
	for _, p := range preDownloads() {
		value, ok := p.parse(v.annotations()[p.annotation])
		if !ok {
			continue
		}
		inPlace, err := hubInPlaceStrategy(v.spec())
		if err != nil {
			return err
		}
		inPlace[p.field] = value
		delete(v.annotations(), p.annotation)
	}
	return nil
}

// hubInPlaceStrategy returns updateStrategy.rollingUpdate.inPlaceUpdateStrategy of a v1beta1 spec, and makes it if need be.
func hubInPlaceStrategy(spec map[string]any) (map[string]any, error) {
	if _, ok := spec["updateStrategy"]; !ok {
		spec["updateStrategy"] = map[string]any{"type": rollingUpdate}
	}
	parent := spec
	for _, field := range []string{"updateStrategy", "rollingUpdate", "inPlaceUpdateStrategy"} {
		child, err := object(parent, field)
		if err != nil {
			return nil, err
		}
		parent[field] = child
		parent = child
	}
	return parent, nil
}

// preDownloadToSpoke moves the fields into annotations. An annotation without a field means nothing in v1beta1, so it must not
// begin to mean something.
func preDownloadToSpoke(v view) error {
	strategy, err := object(v.spec(), "updateStrategy")
	if err != nil {
		return err
	}
	rolling, err := object(strategy, "rollingUpdate")
	if err != nil {
		return err
	}
	inPlace, err := object(rolling, "inPlaceUpdateStrategy")
	if err != nil {
		return err
	}
	hasMoved := false
	for _, p := range preDownloads() {
		if _, ok := p.parse(v.annotations()[p.annotation]); ok {
			delete(v.annotations(), p.annotation)
		}
		// NOTE: an annotation that cannot be read keeps its place, and the field stays a field.
		_, isTaken := v.annotations()[p.annotation]
		if value, ok := p.print(inPlace[p.field]); ok && !isTaken {
			v.annotations()[p.annotation] = value
			delete(inPlace, p.field)
			hasMoved = true
		}
	}
	if hasMoved && len(inPlace) == 0 {
		delete(rolling, "inPlaceUpdateStrategy")
	}
	return nil
}
