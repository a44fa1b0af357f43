// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	errorsCounted = `controller_runtime_reconcile_errors_total{controller="cloneset"}`
	panicsCounted = `controller_runtime_reconcile_panics_total{controller="cloneset"}`
)

// TestHealthIsHeldAgainstTheSuite is the proof that a suite of passing tests fails when our programs were not well.
func TestHealthIsHeldAgainstTheSuite(t *testing.T) {
	counted := func(counter string, n float64) health {
		return health{"1/manager": {Name: "manager", Counters: map[string]float64{counter: n}}}
	}
	for sentence, tc := range map[string]struct {
		before, after health
		isDisrupted   bool
		want          []string
	}{
		"nothing happened":                       {before: counted(errorsCounted, 2), after: counted(errorsCounted, 2)},
		"an error":                               {before: counted(errorsCounted, 2), after: counted(errorsCounted, 5), want: []string{"manager counted 3 in " + errorsCounted}},
		"an error while a test disrupted it":     {after: counted(errorsCounted, 5), isDisrupted: true},
		"a panic":                                {after: counted(panicsCounted, 1), want: []string{"manager counted 1 in " + panicsCounted}},
		"a panic while a test disrupted it":      {after: counted(panicsCounted, 1), isDisrupted: true, want: []string{"manager counted 1 in " + panicsCounted}},
		"errors of a program that has restarted": {before: counted(errorsCounted, 9), after: health{"1/manager": {Name: "manager", Restarts: 1, LastExit: 1, Counters: map[string]float64{errorsCounted: 1}}}, want: []string{"manager restarted 1 times; the last run ended with exit code 1", "manager counted 1 in " + errorsCounted}},
		"a restart while a test disrupted it":    {before: health{"1/manager": {Name: "manager"}}, after: health{"1/manager": {Name: "manager", Restarts: 2, LastExit: 137}}, isDisrupted: true},
		"a crash while a test disrupted it":      {before: health{"1/manager": {Name: "manager"}}, after: health{"1/manager": {Name: "manager", Restarts: 1, LastExit: 2}}, isDisrupted: true, want: []string{"manager ended with exit code 2, as after a panic"}},
		"an expired cache":                       {before: health{"1/manager": {Name: "manager"}}, after: health{"1/manager": {Name: "manager", Counters: map[string]float64{cacheStale + "{}": 1}}}, want: []string{"manager counted 1 in " + cacheStale + "{}"}},
		"a program that is gone":                 {before: counted(errorsCounted, 0), after: health{}, want: []string{"manager is gone, with all that it could have told"}},
		"one that a test has replaced":           {before: counted(errorsCounted, 0), after: health{"2/manager": {Name: "manager"}}, isDisrupted: true},
	} {
		t.Run(sentence, func(t *testing.T) { assert.Equal(t, tc.want, complaints(tc.before, tc.after, tc.isDisrupted)) })
	}
}

func TestTroublesAreReadFromMetrics(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`# TYPE controller_runtime_reconcile_errors_total counter
controller_runtime_reconcile_errors_total{controller="cloneset"} 3
controller_runtime_reconcile_errors_total{controller="other"} 0
# TYPE controller_runtime_reconcile_panics_total counter
controller_runtime_reconcile_panics_total{controller="cloneset"} 1
# TYPE controller_runtime_webhook_panics_total counter
controller_runtime_webhook_panics_total 4
# TYPE keelson_cache_stale_total counter
keelson_cache_stale_total{kind="Pod"} 5
# TYPE controller_runtime_reconcile_total counter
controller_runtime_reconcile_total{controller="cloneset",result="error"} 3
`))
	}))
	defer server.Close()
	text, err := fetch(t.Context(), server.URL, "")
	require.NoError(t, err)
	found, err := counters(text, controllers)
	require.NoError(t, err)
	assert.Equal(t, map[string]float64{
		errorsCounted: 3, panicsCounted: 1, "controller_runtime_webhook_panics_total{}": 4, `keelson_cache_stale_total{kind="Pod"}`: 5,
	}, found)
	assert.Len(t, found, len(troubles()), "each trouble is read")
}

func TestAProgramThatDoesNotCountItsTroublesIsNotWell(t *testing.T) {
	const (
		stale  = "# TYPE keelson_cache_stale_total counter\nkeelson_cache_stale_total{kind=\"Pod\"} 0\n"
		wrong  = "# TYPE controller_runtime_reconcile_errors_total counter\ncontroller_runtime_reconcile_errors_total{controller=\"cloneset\"} 0\n"
		panics = "# TYPE controller_runtime_reconcile_panics_total counter\ncontroller_runtime_reconcile_panics_total{controller=\"cloneset\"} 0\n"
		leads  = "# TYPE leader_election_master_status gauge\nleader_election_master_status{name=\"x\"} 1\n"
		waits  = "# TYPE leader_election_master_status gauge\nleader_election_master_status{name=\"x\"} 0\n"
	)
	for sentence, tc := range map[string]struct{ program, text, want string }{
		"one that leads and counts all":              {program: controllers, text: leads + stale + wrong + panics},
		"one that leads and does not count errors":   {program: controllers, text: leads + stale + panics, want: reconcileErrors},
		"one that leads and does not count panics":   {program: controllers, text: leads + stale + wrong, want: reconcilePanics},
		"one without a lease that does not count":    {program: controllers, text: stale, want: reconcileErrors},
		"one that stands by has made no pass":        {program: controllers, text: waits + stale},
		"one that stands by and counts nothing":      {program: controllers, text: waits, want: cacheStale},
		"the agent, which has nothing of that":       {program: "daemon"},
		"the webhooks, which make no passes, either": {program: "webhook"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := counters([]byte(tc.text), tc.program)
			if tc.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.want)
			}
		})
	}
}

func TestAnErrorIsExpectedOnlyWhenItIsTheVeryOne(t *testing.T) {
	log := sickLog{dir: t.TempDir()}
	line := func(namespace, text string) string {
		return `{"level":"error","msg":"Reconciler error","namespace":"` + namespace + `","error":"patching web: ` + text + `"}` + "\n"
	}
	text := []byte(line("mine", "too large") + "no JSON\n" + line("mine", "something else") + line("yours", "too large") + line("mine", "much too large"))
	n, err := log.count(text)
	require.NoError(t, err)
	assert.Zero(t, n, "nothing is expected")
	require.NoError(t, os.WriteFile(log.file("expected"), []byte(JSON(expectation{Namespace: "mine", Text: "too large"})+"\n"), 0o600))
	n, err = log.count(text)
	require.NoError(t, err)
	assert.Equal(t, 2, n)

	was := program{Name: "manager", Counters: map[string]float64{reconcileErrors + "{}": 5}}
	is := program{Name: "manager", Counters: map[string]float64{reconcileErrors + "{}": 8}, Expected: 2}
	assert.Equal(t, []string{"manager counted 1 in " + reconcileErrors + "{}"}, is.complaints(was, false))
	is.Expected = 3
	assert.Empty(t, is.complaints(was, false))
}

func TestMetricsAreReadWhereAProgramServesThem(t *testing.T) {
	pod := func(program string, args ...string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"control-plane": program}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: args}}},
		}
	}
	for sentence, tc := range map[string]struct {
		pod  *corev1.Pod
		want metricsSource
	}{
		"the controllers":                  {pod: pod("controller-manager", "--feature-gates-dir=/x"), want: metricsSource{pod: "p", port: 8080}},
		"the agent":                        {pod: pod("daemon"), want: metricsSource{pod: "p", port: 10221}},
		"another loopback port":            {pod: pod("webhook", "--metrics-addr=127.0.0.1:9"), want: metricsSource{pod: "p", port: 9}},
		"all addresses, for those who may": {pod: pod("webhook", "--metrics-addr=:8443"), want: metricsSource{pod: "p", port: 8443, isProtected: true}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, isServed, err := sourceOf(tc.pod)
			require.NoError(t, err)
			assert.True(t, isServed)
			assert.Equal(t, tc.want, got)
		})
	}
	_, isServed, err := sourceOf(pod("webhook", "--metrics-addr=0"))
	require.NoError(t, err)
	assert.False(t, isServed, "none are served")
	_, _, err = sourceOf(pod("stranger", "--metrics-addr=127.0.0.1:9"))
	require.ErrorContains(t, err, "stranger", "a program that nobody knows is not taken for well")
}

func TestDisruptionOfAClusterThatIsNotOursIsAskedForByName(t *testing.T) {
	for sentence, tc := range map[string]struct {
		mode, wish, name string
		want             bool
	}{
		"ours may be disrupted":             {mode: "host", name: "TestX", want: true},
		"another may not":                   {mode: "existing", name: "TestX"},
		"unless the test is named":          {mode: "existing", wish: "TestY,TestX", name: "TestX", want: true},
		"another name does not do":          {mode: "existing", wish: "TestXY", name: "TestX"},
		"or all are":                        {mode: "existing", wish: "all", name: "TestX", want: true},
		"deploying is asked for by its own": {mode: "existing", wish: "TestX", name: deploying},
	} {
		t.Run(sentence, func(t *testing.T) { assert.Equal(t, tc.want, mayDisrupt(tc.mode, tc.wish, tc.name)) })
	}
}

func TestASuiteOnSimulatedNodesEndsWellOnlyWithLeave(t *testing.T) {
	leave, message := leaveOut("host", "")
	assert.False(t, leave)
	assert.Empty(t, message, "on real nodes it goes on")
	leave, message = leaveOut("sim", "")
	assert.False(t, leave)
	assert.Contains(t, message, "KEELSON_ALLOW_SIM=1")
	leave, message = leaveOut("sim", "1")
	assert.True(t, leave)
	assert.NotEmpty(t, message)
}

func TestWhoBreaksThingsDeclaresIt(t *testing.T) {
	t.Setenv(sickLogEnv, t.TempDir())
	require.ErrorContains(t, Kill(t.Context(), "controllers"), "support.Disrupt")
	require.ErrorContains(t, RestartAPIServer(t.Context()), "support.Disrupt")
	require.ErrorContains(t, StopKubelet(t.Context(), "node1"), "support.Disrupt")
	require.ErrorContains(t, Deploy(t.Context(), "default"), "support.Disrupt")
}

func TestOnlyTheNewestWantedLinesOfALogAreTold(t *testing.T) {
	r := logRequest{lines: 2, isWanted: isTrouble}
	log := "{\"level\":\"error\",\"a\":1}\n{\"level\":\"info\"}\n{\"level\":\"error\",\"a\":2}\n{\"level\":\"error\",\"a\":3}\n"
	assert.Equal(t, "(1 lines before)\n{\"level\":\"error\",\"a\":2}\n{\"level\":\"error\",\"a\":3}\n", string(r.choose([]byte(log))))
}
