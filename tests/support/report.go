// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// tellAll prints what a test saw: the objects of its namespace, its events, and what our programs logged of it since it began.
func (s *Suite) tellAll(w io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := kubernetes.NewForConfig(s.Resources.GetConfig())
	if err != nil {
		fmt.Fprintf(w, "what the test saw cannot be told: %v\n", err)
		return
	}
	fmt.Fprintf(w, "===== the objects of namespace %s\n", s.Namespace)
	s.tellObjects(ctx, w)
	fmt.Fprintf(w, "===== the events of namespace %s\n", s.Namespace)
	tellEvents(ctx, w, client, s.Namespace)
	fmt.Fprintf(w, "===== what our programs logged of namespace %s, and their troubles\n", s.Namespace)
	isWanted := func(line string) bool { return strings.Contains(line, s.Namespace) || isTrouble(line) }
	tellPrograms(ctx, w, client, logRequest{since: s.begun, lines: 150, isWanted: isWanted})
}

// tellObjects prints objects as YAML, without what never explains a failure.
func (s *Suite) tellObjects(ctx context.Context, w io.Writer) {
	client, err := dynamic.NewForConfig(s.Resources.GetConfig())
	if err != nil {
		fmt.Fprintln(w, err)
		return
	}
	for _, resource := range []schema.GroupVersionResource{
		{Group: kruisev1beta1.GroupVersion.Group, Version: kruisev1beta1.GroupVersion.Version, Resource: "clonesets"},
		{Version: "v1", Resource: "pods"},
		{Group: "apps", Version: "v1", Resource: "controllerrevisions"},
		{Version: "v1", Resource: "persistentvolumeclaims"},
	} {
		list, err := client.Resource(resource).Namespace(s.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			fmt.Fprintf(w, "%s: %v\n", resource.Resource, err)
			continue
		}
		for i := range list.Items {
			fmt.Fprintf(w, "--- %s\n%s", resource.Resource, brief(&list.Items[i]))
		}
	}
}

// brief is an object without what never explains a failure.
func brief(object *unstructured.Unstructured) []byte {
	for _, path := range [][]string{
		{"metadata", "managedFields"}, {"apiVersion"}, {"spec", "tolerations"}, {"spec", "volumes"}, {"spec", "serviceAccount"}, {"spec", "serviceAccountName"},
		{"spec", "schedulerName"}, {"spec", "dnsPolicy"}, {"spec", "enableServiceLinks"}, {"spec", "preemptionPolicy"}, {"spec", "priority"}, {"spec", "securityContext"},
		{"status", "hostIP"}, {"status", "hostIPs"}, {"status", "podIPs"},
	} {
		unstructured.RemoveNestedField(object.Object, path...)
	}
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		return fmt.Append(nil, err, "\n")
	}
	return text
}

// tellEvents prints events in the order of time, one a line.
func tellEvents(ctx context.Context, w io.Writer, client kubernetes.Interface, namespace string) {
	list, err := client.EventsV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(w, err)
		return
	}
	slices.SortStableFunc(list.Items, func(a, b eventsv1.Event) int { return timeOf(&a).Compare(timeOf(&b)) })
	for i := range list.Items {
		e := &list.Items[i]
		fmt.Fprintf(w, "%s %s %s %s/%s: %s\n", timeOf(e).Format("15:04:05"), e.Type, e.Reason, e.Regarding.Kind, e.Regarding.Name, e.Note)
	}
}

func timeOf(e *eventsv1.Event) time.Time {
	if e.EventTime.IsZero() {
		return cmp.Or(e.DeprecatedFirstTimestamp.Time, e.CreationTimestamp.Time)
	}
	return e.EventTime.Time
}

// logRequest says which lines of the logs of our programs are wanted: the newest of each container, since a moment; zero and nil are all.
type logRequest struct {
	since    time.Time
	lines    int
	isWanted func(line string) bool
}

// isTrouble reports whether a line tells of an error.
func isTrouble(line string) bool {
	return strings.Contains(line, `"level":"error"`) || strings.Contains(line, "panic") || strings.Contains(line, "reading from the API server") || strings.HasPrefix(line, "E")
}

// tellPrograms prints how our programs are, and what they logged, those that ended too.
func tellPrograms(ctx context.Context, w io.Writer, client kubernetes.Interface, r logRequest) {
	pods, err := client.CoreV1().Pods(ours).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(w, err)
		return
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, c := range pod.Status.ContainerStatuses {
			fmt.Fprintf(w, "--- %s/%s: ready %v, %d restarts\n", pod.Name, c.Name, c.Ready, c.RestartCount)
			for _, isPrevious := range []bool{true, false} {
				if isPrevious && c.RestartCount == 0 {
					continue
				}
				options := &corev1.PodLogOptions{Container: c.Name, Previous: isPrevious}
				if !r.since.IsZero() {
					options.SinceTime = &metav1.Time{Time: r.since}
				}
				log, err := client.CoreV1().Pods(ours).GetLogs(pod.Name, options).DoRaw(ctx)
				if err != nil {
					fmt.Fprintln(w, err)
					continue
				}
				_, _ = w.Write(r.choose(log))
			}
		}
	}
}

// choose picks the wanted lines.
func (r logRequest) choose(log []byte) []byte {
	var lines [][]byte
	for line := range bytes.Lines(log) {
		if r.isWanted == nil || r.isWanted(string(line)) {
			lines = append(lines, line)
		}
	}
	if left := len(lines) - r.lines; left > 0 {
		lines = append([][]byte{fmt.Appendf(nil, "(%d lines before)\n", left)}, lines[left:]...)
	}
	return bytes.Join(lines, nil)
}
