// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricsURL is where the measured controllers serve their metrics.
const metricsURL = "http://127.0.0.1:28080/metrics"

// process is a running program.
type process int

// cpu is how many seconds of processor time the program has used.
func (p process) cpu() (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	// The name in parentheses may hold blanks.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	const user, system, ticksPerSecond = 11, 12, 100
	sum := 0.0
	for _, i := range []int{user, system} {
		ticks, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time: %w", err)
		}
		sum += ticks / ticksPerSecond
	}
	return sum, nil
}

// memory returns the resident memory in MiB, now and at its highest since resetPeak.
func (p process) memory() (now, peak float64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory: %w", err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "VmRSS:" && fields[0] != "VmHWM:" {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return 0, 0, fmt.Errorf("reading the memory: %w", err)
		}
		if fields[0] == "VmRSS:" {
			now = kib / 1024
		} else {
			peak = kib / 1024
		}
	}
	return now, peak, nil
}

// resetPeak lets the highest resident memory be counted from now on.
func (p process) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p), []byte("5"), 0)
}

// gauges are the values that the bench reads of the controllers' metrics.
type gauges struct {
	mallocs, allocated       float64
	reconciles               float64
	queued, queueSeconds     float64
	depth                    float64
	syncSeconds, syncedTimes float64
}

func readGauges(ctx context.Context) (gauges, error) {
	var g gauges
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, metricsURL, nil)
	if err != nil {
		return g, fmt.Errorf("reading metrics: %w", err)
	}
	// Compressing them would cost whom we measure.
	plain := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	response, err := plain.Do(request)
	if err != nil {
		return g, fmt.Errorf("reading metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return g, fmt.Errorf("reading metrics: %w", err)
	}
	g.mallocs = sum(families["go_memstats_mallocs_total"])
	g.allocated = sum(families["go_memstats_alloc_bytes_total"])
	g.reconciles = sum(families["controller_runtime_reconcile_total"])
	g.depth = sum(families["workqueue_depth"])
	g.queueSeconds, g.queued = histogram(families["workqueue_queue_duration_seconds"])
	g.syncSeconds, g.syncedTimes = histogram(families["controller_runtime_reconcile_time_seconds"])
	return g, nil
}

func sum(family *dto.MetricFamily) float64 {
	total := 0.0
	for _, m := range family.GetMetric() {
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return total
}

func histogram(family *dto.MetricFamily) (total, count float64) {
	for _, m := range family.GetMetric() {
		total += m.GetHistogram().GetSampleSum()
		count += float64(m.GetHistogram().GetSampleCount())
	}
	return total, count
}

// meter measures one subject in one window.
type meter struct {
	log     *auditLog
	subject subject
	process process
	begun   time.Time
	cpu     float64
	gauges  gauges
	ledger  ledger
	depth   chan float64
	stop    context.CancelFunc
}

// begin opens a window.
func begin(ctx context.Context, log *auditLog, s subject, p process) (*meter, error) {
	m := &meter{log: log, subject: s, process: p, ledger: ledger{Writes: requests{}, Reads: requests{}, Refused: requests{}}}
	if err := log.skip(); err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	m.stop = stop
	if p != 0 {
		var err error
		if m.cpu, err = p.cpu(); err != nil {
			return nil, err
		}
		if err := p.resetPeak(); err != nil {
			return nil, fmt.Errorf("resetting the peak of memory: %w", err)
		}
	}
	if s.hasMetrics() {
		var err error
		if m.gauges, err = readGauges(ctx); err != nil {
			return nil, err
		}
		m.depth = make(chan float64, 1)
		go m.watchDepth(watching)
	}
	m.begun = time.Now()
	return m, nil
}

// watchDepth looks at the length of the work queue every two seconds; more often would cost whom we measure.
func (m *meter) watchDepth(ctx context.Context) {
	highest := 0.0
	for ctx.Err() == nil {
		if g, err := readGauges(ctx); err == nil {
			highest = max(highest, g.depth)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	m.depth <- highest
}

// end waits until the subject writes no more, closes the window, and returns what it has seen.
func (m *meter) end(ctx context.Context, f *figures) error {
	defer m.stop()
	if err := m.settle(ctx); err != nil {
		return err
	}
	f.ledger = m.ledger
	if m.process != 0 {
		cpu, err := m.process.cpu()
		if err != nil {
			return err
		}
		f.CPUSeconds = cpu - m.cpu
		if f.MemoryMiB, f.PeakMemoryMiB, err = m.process.memory(); err != nil {
			return err
		}
	}
	if !m.subject.hasMetrics() {
		return nil
	}
	m.stop()
	f.QueueDepth = <-m.depth
	now, err := readGauges(ctx)
	if err != nil {
		return err
	}
	f.Allocations, f.AllocatedMiB = now.mallocs-m.gauges.mallocs, (now.allocated-m.gauges.allocated)/(1<<20)
	f.Reconciles = now.reconciles - m.gauges.reconciles
	f.QueueSeconds = mean(now.queueSeconds-m.gauges.queueSeconds, now.queued-m.gauges.queued)
	f.ReconcileSeconds = mean(now.syncSeconds-m.gauges.syncSeconds, now.syncedTimes-m.gauges.syncedTimes)
	return nil
}

func mean(total, count float64) float64 {
	if count == 0 {
		return 0
	}
	return total / count
}

// settle reads the audit log until it has held no write of the subject for a while.
func (m *meter) settle(ctx context.Context) error {
	const quiet, every = 1500 * time.Millisecond, 100 * time.Millisecond
	for last := time.Now(); time.Since(last) < quiet; {
		writes, err := m.log.read(&m.ledger, m.subject.accounts())
		if err != nil {
			return err
		}
		if writes > 0 {
			last = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to settle: %w", m.subject.name(), ctx.Err())
		case <-time.After(every):
		}
	}
	return nil
}
