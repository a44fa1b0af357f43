// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// sickLogEnv names the variable with the folder of the suite's sickLog.
const sickLogEnv = "KEELSON_SICK_LOG"

// Counters of controllers.
const (
	reconcilePanics = "controller_runtime_reconcile_panics_total"
	reconcileErrors = "controller_runtime_reconcile_errors_total"
	cacheStale      = "keelson_cache_stale_total"
)

// troubles are the counters of our programs that stay where they are while all is well; those that panics count are never excused.
func troubles() map[string]bool {
	return map[string]bool{
		reconcilePanics: true,
		"controller_runtime_webhook_panics_total": true,
		reconcileErrors: false,
		cacheStale:      false,
	}
}

// program is a container of ours, as it is at some moment.
type program struct {
	Name     string
	Restarts int32
	// LastExit is the exit code with which the run before this one ended; zero when there was none, or it ended well.
	LastExit int32
	// Counters are its troubles since it started, by metric and labels.
	Counters map[string]float64
	// Expected is how often its log has told of an error that a test has said it would bring about.
	Expected int
}

// health is how all our programs are, by the UIDs of their Pods and the names of their containers.
type health map[string]program

// panicked is the exit code of a Go program that panics.
const panicked = 2

// complaints tell what went wrong between two moments. After a disruption only panics count.
func complaints(before, after health, isDisrupted bool) (all []string) {
	for _, key := range slices.Sorted(maps.Keys(after)) {
		all = append(all, after[key].complaints(before[key], isDisrupted)...)
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, found := after[key]; !found && !isDisrupted {
			all = append(all, before[key].Name+" is gone, with all that it could have told")
		}
	}
	return all
}

// complaints tell what went wrong with one program since another moment.
func (p program) complaints(was program, isDisrupted bool) (all []string) {
	if p.Restarts != was.Restarts {
		was.Counters, was.Expected = nil, 0
		if p.LastExit == panicked {
			all = append(all, fmt.Sprintf("%s ended with exit code %d, as after a panic", p.Name, p.LastExit))
		} else if !isDisrupted {
			all = append(all, fmt.Sprintf("%s restarted %d times; the last run ended with exit code %d", p.Name, p.Restarts-was.Restarts, p.LastExit))
		}
	}
	for _, counter := range slices.Sorted(maps.Keys(p.Counters)) {
		metric, _, _ := strings.Cut(counter, "{")
		more := p.Counters[counter] - was.Counters[counter]
		if metric == reconcileErrors {
			more -= float64(p.Expected - was.Expected)
		}
		if more > 0 && (!isDisrupted || troubles()[metric]) {
			all = append(all, fmt.Sprintf("%s counted %g in %s", p.Name, more, counter))
		}
	}
	return all
}

// readHealth asks all our programs. One that is not ready has no counters.
func readHealth(ctx context.Context, config *rest.Config) (health, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching our programs: %w", err)
	}
	pods, err := client.CoreV1().Pods(ours).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing our programs: %w", err)
	}
	all := health{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, c := range pod.Status.ContainerStatuses {
			p := program{Name: pod.Name + "/" + c.Name, Restarts: c.RestartCount}
			if c.LastTerminationState.Terminated != nil {
				p.LastExit = c.LastTerminationState.Terminated.ExitCode
			}
			if c.Ready {
				if err := p.ask(ctx, config, client, pod); err != nil {
					return nil, fmt.Errorf("asking %s how it is: %w", p.Name, err)
				}
			}
			all[string(pod.UID)+"/"+c.Name] = p
		}
	}
	return all, nil
}

// ask reads the metrics, and then the log: what is counted is in it by then.
func (p *program) ask(ctx context.Context, config *rest.Config, client *kubernetes.Clientset, pod *corev1.Pod) error {
	source, isServed, err := sourceOf(pod)
	if err != nil {
		return err
	}
	if isServed {
		text, err := source.read(ctx, config, client)
		if err != nil {
			return err
		}
		if p.Counters, err = counters(text, pod.Labels[programLabel]); err != nil {
			return err
		}
	}
	log, err := client.CoreV1().Pods(ours).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	p.Expected, err = sickLog{dir: os.Getenv(sickLogEnv)}.count(log)
	return err
}

// expectation is an error of a pass that a test brings about on purpose: one in its namespace, in whose line a text is.
type expectation struct{ Namespace, Text string }

// ExpectErrors says that passes over sets of this test will fail, and with what: an error counts as expected only if it is the very one.
func (s *Suite) ExpectErrors(text string) {
	s.Helper()
	log := sickLog{dir: os.Getenv(sickLogEnv)}
	file, err := os.OpenFile(log.file("expected"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(s, err)
	// One write of one line, for tests run beside each other.
	_, err = file.WriteString(JSON(expectation{Namespace: s.Namespace, Text: text}) + "\n")
	require.NoError(s, errors.Join(err, file.Close()))
}

// count counts the lines of a log that tell of a failed pass which was expected.
func (l sickLog) count(log []byte) (n int, err error) {
	raw, err := os.ReadFile(l.file("expected"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var all []expectation
	for line := range bytes.Lines(raw) {
		var e expectation
		if err := json.Unmarshal(line, &e); err != nil {
			return 0, fmt.Errorf("reading what is expected: %w", err)
		}
		all = append(all, e)
	}
	for line := range bytes.Lines(log) {
		var told struct{ Msg, Namespace, Error string }
		isExpected := func(e expectation) bool { return told.Namespace == e.Namespace && strings.Contains(told.Error, e.Text) }
		if json.Unmarshal(line, &told) == nil && told.Msg == "Reconciler error" && slices.ContainsFunc(all, isExpected) {
			n++
		}
	}
	return n, err
}

// counters are the troubles in the text of metrics that are not zero. It fails when the program does not count what it should.
func counters(text []byte, program string) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	for _, name := range mustCount(program, families) {
		if len(families[name].GetMetric()) == 0 {
			return nil, fmt.Errorf("it does not count %s", name)
		}
	}
	found := map[string]float64{}
	for name := range troubles() {
		for _, metric := range families[name].GetMetric() {
			if value := metric.GetCounter().GetValue(); value > 0 {
				found[name+labelsOf(metric)] = value
			}
		}
	}
	return found, nil
}

// mustCount are the troubles that a program counts, be it none. Controllers count those of their passes from when they lead, or have no lease to wait for.
func mustCount(program string, families map[string]*dto.MetricFamily) []string {
	if program != controllers {
		return nil
	}
	for _, lease := range families["leader_election_master_status"].GetMetric() {
		if lease.GetGauge().GetValue() == 0 {
			return []string{cacheStale}
		}
	}
	return []string{cacheStale, reconcileErrors, reconcilePanics}
}

func labelsOf(metric *dto.Metric) string {
	var pairs []string
	for _, label := range metric.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// sickLog is what a suite remembers of the health of our programs. It is a folder, which Main and the tests share.
type sickLog struct{ dir string }

func (l sickLog) file(name string) string { return filepath.Join(l.dir, name) }

// begin takes the baseline.
func (l sickLog) begin(ctx context.Context, config *rest.Config) error {
	now, err := settledHealth(ctx, config)
	if err != nil {
		return err
	}
	return l.write("baseline", now)
}

// compare judges what became of our programs since the baseline, and keeps it.
func (l sickLog) compare(ctx context.Context, config *rest.Config, isDisrupted bool) ([]string, error) {
	var before health
	var all []string
	raw, err := os.ReadFile(l.file("baseline"))
	if err != nil {
		return nil, fmt.Errorf("reading the baseline: %w", err)
	}
	if err := json.Unmarshal(raw, &before); err != nil {
		return nil, fmt.Errorf("reading the baseline: %w", err)
	}
	if raw, err = os.ReadFile(l.file("complaints")); err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading complaints: %w", err)
	}
	now, err := settledHealth(ctx, config)
	if err != nil {
		return all, err
	}
	all = append(all, complaints(before, now, isDisrupted)...)
	return all, errors.Join(l.write("baseline", now), l.write("complaints", all))
}

// pause notes that a test disrupts our programs from now on.
func (l sickLog) pause(ctx context.Context, config *rest.Config, test string) error {
	if _, err := l.compare(ctx, config, false); err != nil {
		return err
	}
	return l.write("disrupted", test)
}

// resume notes that it does so no more.
func (l sickLog) resume(ctx context.Context, config *rest.Config) error {
	if _, err := l.compare(ctx, config, true); err != nil {
		return err
	}
	return os.Remove(l.file("disrupted"))
}

// isDisrupted reports whether a test disrupts our programs right now.
func (l sickLog) isDisrupted() bool {
	_, err := os.Stat(l.file("disrupted"))
	return err == nil
}

// end is all that there is to complain of.
func (l sickLog) end(ctx context.Context, config *rest.Config) ([]string, error) {
	return l.compare(ctx, config, l.isDisrupted())
}

// settledHealth reads the health as soon as all programs can be asked: one that is on its way down or up, or in the middle of a restart, is given a minute.
func settledHealth(ctx context.Context, config *rest.Config) (now health, err error) {
	for range 60 {
		if now, err = readHealth(ctx, config); err == nil {
			return now, nil
		}
		time.Sleep(time.Second)
	}
	return now, err
}

func (l sickLog) write(name string, value any) error {
	return os.WriteFile(l.file(name), []byte(JSON(value)), 0o600)
}
