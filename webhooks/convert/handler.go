// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// maxReview is the most bytes that a review may have: thousands of sets, as the API server sends a whole list in one, and yet an eighth of the memory that the
	// program may have.
	maxReview = 64 << 20
	// answerIn is when nobody waits for an answer any more: the API server gives up then.
	answerIn = 30 * time.Second
)

// Handler answers ConversionReviews of apiextensions.k8s.io/v1. What is no such review gets a 4xx with one line that says why;
// a review with an object that cannot be converted gets a response that says Failure, and which object and field it is.
func Handler() http.Handler {
	return newDoor()
}

// ServeHTTP answers one review, when there is room for it.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a ConversionReview must be sent by POST", http.StatusMethodNotAllowed)
		return
	}
	if r.ContentLength > maxReview {
		http.Error(w, sizeText(), http.StatusRequestEntityTooLarge)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerIn)
	defer cancel()
	leave, err := d.enter(ctx, w, r)
	if err != nil {
		giveUp(w, err)
		return
	}
	defer leave()
	review, problem := readReview(w, r)
	if problem != nil {
		http.Error(w, problem.text, problem.code)
		return
	}
	response := answer(ctx, review.Request)
	if err := ctx.Err(); err != nil {
		giveUp(w, err)
		return
	}
	if response.Result.Status == metav1.StatusFailure {
		ctrl.LoggerFrom(r.Context()).Info("Refused a conversion", "uid", response.UID, "reason", response.Result.Message)
	}
	w.Header().Set("Content-Type", "application/json")
	body := &apiextensionsv1.ConversionReview{TypeMeta: review.TypeMeta, Response: response}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		ctrl.LoggerFrom(r.Context()).V(1).Info("Could not answer a ConversionReview", "error", err.Error())
	}
}

// problem is why a request is no review, as an answer.
type problem struct {
	code int
	text string
}

// readReview reads a review within the limits that its request has.
func readReview(w http.ResponseWriter, r *http.Request) (*apiextensionsv1.ConversionReview, *problem) {
	review := &apiextensionsv1.ConversionReview{}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReview)).Decode(review)
	tooLarge := new(http.MaxBytesError)
	switch {
	case err == nil:
		hasRead(w)
		err = check(review)
	case errors.As(err, &tooLarge):
		return nil, &problem{http.StatusRequestEntityTooLarge, sizeText()}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &problem{http.StatusRequestTimeout, "reading the ConversionReview: it did not arrive in time"}
	}
	if err != nil {
		return nil, &problem{http.StatusBadRequest, fmt.Sprintf("reading the ConversionReview: %v", err)}
	}
	return review, nil
}

func giveUp(w http.ResponseWriter, err error) {
	http.Error(w, fmt.Sprintf("giving up the conversion, as nobody waits for it any more: %v", err), http.StatusServiceUnavailable)
}

func sizeText() string {
	return fmt.Sprintf("reading the ConversionReview: it has more than %d bytes: list fewer objects at once, by the parameter limit", maxReview)
}

func check(review *apiextensionsv1.ConversionReview) error {
	want := apiextensionsv1.SchemeGroupVersion.String()
	if review.APIVersion != want || review.Kind != "ConversionReview" {
		return fmt.Errorf("it must be a ConversionReview of %s, not a %q of %q", want, review.Kind, review.APIVersion)
	}
	if review.Request == nil {
		return errors.New("it has no request")
	}
	if review.Request.UID == "" {
		return errors.New("request.uid is empty")
	}
	return nil
}

// answer converts all objects, or as many as it can before ctx ends; then its answer is not to be sent.
func answer(ctx context.Context, request *apiextensionsv1.ConversionRequest) *apiextensionsv1.ConversionResponse {
	response := &apiextensionsv1.ConversionResponse{
		UID:              request.UID,
		ConvertedObjects: make([]runtime.RawExtension, 0, len(request.Objects)),
		Result:           metav1.Status{Status: metav1.StatusSuccess},
	}
	for i, raw := range request.Objects {
		converted, err := convertRaw(ctx, raw.Raw, request.DesiredAPIVersion)
		if err != nil {
			response.ConvertedObjects = nil
			response.Result = metav1.Status{
				Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Message: fmt.Sprintf("objects[%d]: %v", i, err),
			}
			return response
		}
		response.ConvertedObjects = append(response.ConvertedObjects, runtime.RawExtension{Raw: converted})
	}
	return response
}

// convertRaw converts the JSON of one object. Equal objects give equal bytes: keys are sorted.
func convertRaw(ctx context.Context, raw []byte, toVersion string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	obj := map[string]any{}
	if err := utiljson.Unmarshal(raw, &obj); err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	if err := dispatch(ctx, obj, toVersion); err != nil {
		return nil, fmt.Errorf("%s: %w", nameOf(obj), err)
	}
	return json.Marshal(obj)
}

func dispatch(ctx context.Context, obj map[string]any, toVersion string) error {
	kind, _ := obj["kind"].(string)
	switch kind {
	case "CloneSet":
		return CloneSet(ctx, obj, toVersion)
	default:
		return fmt.Errorf("converting: there is no conversion of kind %q", kind)
	}
}

func nameOf(obj map[string]any) string {
	metadata, _ := obj["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	name, _ := metadata["name"].(string)
	return strings.TrimPrefix(namespace+"/"+name, "/")
}
