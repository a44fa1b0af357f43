// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package meta_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/nodeagent/meta"
)

// TestWiring asks whether watch, permissions and patches work on a real API server. The agent has the token of a Pod on node-a, with the rights that
// the bundle gives it.
func TestWiring(t *testing.T) {
	w := startWorld(t)
	w.awaitPolicy(t)
	for name, run := range map[string]func(*testing.T, *world){
		"what runs is reported, and reported again after a restart":    reports,
		"a report that cannot be read is replaced":                     heals,
		"a runtime that does not answer for a while is asked again":    retries,
		"Pods of other nodes and of other workloads are left alone":    leavesOthers,
		"what happened while the agent was down is reported afterward": backFills,
		"a restart where all is reported writes nothing":               restartsQuietly,
		"events that change no container cost no call of the runtime":  asksSeldom,
		"a container whose environment is out of date is restarted":    restartsOutdated,
		"a restart that fails is tried again, and dropped when undue":  restartsAgain,
		"a hook is not run again though the stop fails":                runsHooksOnce,
		"a hook is not run again by an agent that is started anew":     runsHooksOnceAcrossAgents,
		"one tenant's long stops hold nobody else up":                  stopsFairly,
	} {
		t.Run(name, func(t *testing.T) { run(t, w) })
	}
	t.Run("the agent may write", func(t *testing.T) { admits(t, w) })
	t.Run("the agent may read", func(t *testing.T) { reads(t, w) })
}

func reports(t *testing.T, w *world) {
	pod := w.createPod(t, "node-a", ours)
	w.startAgent(t)
	w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0))
	w.setStatus(t, pod, "containerd://m1", 0)
	w.eventuallyReports(t, pod, mainAlone)

	w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0), container("main", "m2", 5, 1))
	w.setStatus(t, pod, "containerd://m2", 1)
	w.eventuallyReports(t, pod, `{"containers":[{"name":"main","containerID":"containerd://m2","restartCount":1,"hashes":{"plainHash":51966}}]}`)
	assert.Equal(t, "kept", w.read(t, pod).Annotations["theirs"])
}

func heals(t *testing.T, w *world) {
	w.startAgent(t)
	for _, garbage := range []string{"{", "", "[]", `{"containers":[{"restartCount":"many"}]}`} {
		pod := w.createPod(t, "node-a", ours, func(p *corev1.Pod) { p.Annotations[pub.RuntimeContainerMetaKey] = garbage })
		w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0))
		w.setStatus(t, pod, "containerd://m1", 0)
		w.eventuallyReports(t, pod, mainAlone)

		w.patch(t, pod, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, pub.RuntimeContainerMetaKey, garbage))
		w.eventuallyReports(t, pod, mainAlone)
	}
}

func retries(t *testing.T, w *world) {
	w.runtime.Fail(errors.New("not now"))
	defer w.runtime.Fail(nil)
	pod := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0))
	before := w.runtime.Calls()
	w.startAgent(t)
	require.Eventually(t, func() bool { return w.runtime.Calls() > before }, 10*time.Second, 20*time.Millisecond)
	assert.Equal(t, pod.ResourceVersion, w.read(t, pod).ResourceVersion)
	w.runtime.Fail(nil)
	w.eventuallyReports(t, pod, mainAlone)
}

func leavesOthers(t *testing.T, w *world) {
	mine := w.createPod(t, "node-a", ours)
	others := []*corev1.Pod{
		w.createPod(t, "node-b", ours),
		w.createPod(t, "", ours),
		w.createPod(t, "node-a"),
		w.createPod(t, "node-a", ours, func(p *corev1.Pod) { p.Finalizers = []string{"test.keelson.io/look"} }),
	}
	ending := others[3]
	require.NoError(t, w.admin.CoreV1().Pods(ending.Namespace).Delete(t.Context(), ending.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(30))}))
	others[3] = w.read(t, ending)
	for _, pod := range append(others, mine) {
		w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0))
	}
	w.startAgent(t)
	w.eventuallyReports(t, mine, mainAlone)
	for _, pod := range others {
		assert.Equal(t, pod.ResourceVersion, w.read(t, pod).ResourceVersion, pod.Spec.NodeName)
	}
	w.patch(t, ending, `{"metadata":{"finalizers":null}}`)
}

func backFills(t *testing.T, w *world) {
	stop := w.startAgent(t)
	old := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(old.UID), container("main", "m1", 0, 0))
	w.setStatus(t, old, "containerd://m1", 0)
	w.eventuallyReports(t, old, mainAlone)
	stop()

	w.runtime.Set(string(old.UID), container("main", "m2", 5, 1))
	w.setStatus(t, old, "containerd://m2", 1)
	missed := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(missed.UID), container("main", "m1", 0, 0))
	w.setStatus(t, missed, "containerd://m1", 0)

	w.startAgent(t)
	w.eventuallyReports(t, old, `{"containers":[{"name":"main","containerID":"containerd://m2","restartCount":1,"hashes":{"plainHash":51966}}]}`)
	w.eventuallyReports(t, missed, mainAlone)
}

func restartsQuietly(t *testing.T, w *world) {
	pod := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0))
	stop := w.startAgent(t)
	w.eventuallyReports(t, pod, mainAlone)
	stop()
	before, calls := w.read(t, pod), w.runtime.Calls()
	w.startAgent(t)
	require.Eventually(t, func() bool { return w.runtime.Calls() > calls }, 10*time.Second, 20*time.Millisecond)
	time.Sleep(time.Second)
	assert.Equal(t, before.ResourceVersion, w.read(t, pod).ResourceVersion)
}

func asksSeldom(t *testing.T, w *world) {
	pod := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0))
	w.startAgent(t)
	w.eventuallyReports(t, pod, mainAlone)
	// What it wrote itself is an event, too: it looks once more.
	calls := w.settledCalls(t)
	for i := range 3 {
		w.patch(t, pod, fmt.Sprintf(`{"metadata":{"labels":{"round":"%d"}}}`, i))
		w.patch(t, pod, fmt.Sprintf(`{"status":{"message":"round %d"}}`, i), "status")
	}
	assert.Equal(t, calls, w.settledCalls(t))
}

// settledCalls counts the calls of the runtime as soon as there has been none for a while.
func (w *world) settledCalls(t *testing.T) int {
	t.Helper()
	calls, since := w.runtime.Calls(), time.Now()
	w.eventually(t, "nobody calls the runtime any more", func(context.Context) (bool, string) {
		if now := w.runtime.Calls(); now != calls {
			calls, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second, fmt.Sprint(calls)
	})
	return calls
}

// follows makes the container main follow a label, while an update changes that.
func follows(pod *corev1.Pod) {
	pod.Labels = map[string]string{"tier": "new", pub.LifecycleStateKey: string(pub.LifecycleStateUpdating), "unrelated": "kept-out"}
	pod.Annotations[pub.InPlaceUpdateStateKey] = `{"revision":"web-2","updateTimestamp":null,"updateEnvFromMetadata":true}`
	pod.Spec.TerminationGracePeriodSeconds = new(int64(7))
	c := &pod.Spec.Containers[0]
	c.Env = []corev1.EnvVar{
		{Name: "TIER", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['tier']"}}},
		{Name: "SECRET", Value: "kept out"},
	}
	c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"say", "bye"}}}}
}

func reportOfMain(id string, restarts int, tier string) string {
	return fmt.Sprintf(`{"containers":[{"name":"main","containerID":"containerd://%s","restartCount":%d,"hashes":{"plainHash":51966,"extractedEnvFromMetadataHash":%d}}]}`,
		id, restarts, hashOf(tier))
}

// stopping is a report that says that the hook of its container was started.
func stopping(report string) string {
	return strings.Replace(report, `}}]`, `},"preStopHookStarted":true}]`, 1)
}

func restartsOutdated(t *testing.T, w *world) {
	pod := w.createPod(t, "node-a", ours, follows)
	w.runtime.SetEnvironment("old-1", map[string]string{"TIER": "old"})
	w.runtime.SetEnvironment("new-1", map[string]string{"TIER": "new"})
	w.runtime.Set(string(pod.UID), container("main", "old-1", 0, 0))
	w.startAgent(t)
	w.eventuallyReports(t, pod, stopping(reportOfMain("old-1", 0, "old")))
	w.eventually(t, "the hook runs, then the container is stopped", func(context.Context) (bool, string) {
		done := w.runtime.Done()
		return slices.Contains(done, "exec old-1 say bye") && slices.ContainsFunc(done, func(s string) bool { return isStop(s, "old-1") }),
			strings.Join(done, "; ")
	})
	w.runtime.Set(string(pod.UID), container("main", "old-1", 0, 0), container("main", "new-1", 5, 1))
	w.setStatus(t, pod, "containerd://new-1", 1)
	w.eventuallyReports(t, pod, reportOfMain("new-1", 1, "new"))
	time.Sleep(1500 * time.Millisecond)
	assert.NotContains(t, strings.Join(w.runtime.Done(), "; "), "new-1", "what is up to date is left alone")
}

func restartsAgain(t *testing.T, w *world) {
	w.runtime.FailStops(errors.New("not now"))
	defer w.runtime.FailStops(nil)
	pod := w.createPod(t, "node-a", ours, follows)
	w.runtime.SetEnvironment("old-2", map[string]string{"TIER": "old"})
	w.runtime.Set(string(pod.UID), container("main", "old-2", 0, 0))
	w.startAgent(t)
	w.eventuallyReports(t, pod, stopping(reportOfMain("old-2", 0, "old")))
	time.Sleep(1500 * time.Millisecond)
	w.patch(t, pod, `{"metadata":{"labels":{"tier":"old"}}}`)
	// The agent sees Pods in the order of the API server: when it reports one that was created later, it knows the label.
	later := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(later.UID), container("main", "m1", 0, 0))
	w.setStatus(t, later, "containerd://m1", 0)
	w.eventuallyReports(t, later, mainAlone)
	w.runtime.FailStops(nil)
	time.Sleep(4 * time.Second)
	assert.NotContains(t, strings.Join(w.runtime.Done(), "; "), "old-2", "the label was changed back meanwhile")
	w.patch(t, pod, `{"metadata":{"labels":{"tier":"new"}}}`)
	w.eventually(t, "the container is stopped", func(context.Context) (bool, string) {
		done := strings.Join(w.runtime.Done(), "; ")
		return strings.Contains(done, "stop old-2"), done
	})
}

func runsHooksOnce(t *testing.T, w *world) {
	pod := w.createPod(t, "node-a", ours, follows)
	w.runtime.SetEnvironment("old-3", map[string]string{"TIER": "old"})
	w.runtime.Set(string(pod.UID), container("main", "old-3", 0, 0))
	w.runtime.Hold("old-3")
	w.startAgent(t)
	w.eventuallyDoes(t, "exec old-3", 1)
	assert.Equal(t, stopping(reportOfMain("old-3", 0, "old")), w.read(t, pod).Annotations[pub.RuntimeContainerMetaKey], "the Pod says so before the hook runs")
	w.runtime.FailStops(errors.New("not now"))
	w.runtime.Release("old-3")
	time.Sleep(1500 * time.Millisecond)
	w.runtime.FailStops(nil)
	w.eventuallyStops(t, "old-3")
	w.eventuallyDoes(t, "exec old-3", 1)
}

func runsHooksOnceAcrossAgents(t *testing.T, w *world) {
	pod := w.createPod(t, "node-a", ours, follows)
	w.runtime.SetEnvironment("old-4", map[string]string{"TIER": "old"})
	w.runtime.Set(string(pod.UID), container("main", "old-4", 0, 0))
	w.runtime.Hold("old-4")
	stop := w.startAgent(t)
	w.eventuallyDoes(t, "exec old-4", 1)
	stop()
	w.startAgent(t)
	w.eventuallyStops(t, "old-4")
	w.eventuallyReports(t, pod, stopping(reportOfMain("old-4", 0, "old")))
	w.runtime.Set(string(pod.UID), container("main", "old-4", 0, 0), container("main", "new-4", 5, 1))
	w.runtime.SetEnvironment("new-4", map[string]string{"TIER": "new"})
	w.setStatus(t, pod, "containerd://new-4", 1)
	w.eventuallyReports(t, pod, reportOfMain("new-4", 1, "new"))
	w.eventuallyDoes(t, "exec old-4", 1)
}

func stopsFairly(t *testing.T, w *world) {
	_, err := w.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "greedy"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	for i := range 15 {
		id := fmt.Sprintf("slow-%d-", i)
		pod := w.createPod(t, "node-a", ours, follows, func(p *corev1.Pod) {
			p.Namespace, p.Spec.TerminationGracePeriodSeconds, p.Spec.Containers[0].Lifecycle = "greedy", new(int64(86400)), nil
		})
		w.runtime.SetEnvironment(id, map[string]string{"TIER": "old"})
		w.runtime.Set(string(pod.UID), container("main", id, 0, 0))
		w.runtime.Hold(id)
	}
	w.startAgent(t)
	w.eventuallyDoes(t, "stop slow-", 10)
	modest := w.createPod(t, "node-a", ours, follows)
	w.runtime.SetEnvironment("old-5", map[string]string{"TIER": "old"})
	w.runtime.Set(string(modest.UID), container("main", "old-5", 0, 0))
	plain := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(plain.UID), container("main", "m1", 0, 0))
	w.eventuallyReports(t, plain, mainAlone)
	w.eventuallyDoes(t, "stop old-5", 1)
	w.eventuallyDoes(t, "stop slow-", 10)
	done := strings.Join(w.runtime.Done(), " ")
	ended := done[strings.Index(done, "stop slow-")+len("stop "):]
	w.runtime.Release(strings.Fields(ended)[0])
	w.eventuallyDoes(t, "stop slow-", 11)
}

// eventuallyDoes waits until as many commands and stops as are wanted begin with a text.
func (w *world) eventuallyDoes(t *testing.T, text string, want int) {
	t.Helper()
	w.eventually(t, fmt.Sprintf("%d of what is done begin with %q", want, text), func(context.Context) (bool, string) {
		var found []string
		for _, s := range w.runtime.Done() {
			if strings.HasPrefix(s, text) {
				found = append(found, s)
			}
		}
		return len(found) == want, strings.Join(found, "; ")
	})
}

// isStop reports whether what was done is the stop of a container, within what its hook left of the seven seconds that follows gives it, and no less than two.
func isStop(done, id string) bool {
	left, err := time.ParseDuration(strings.TrimPrefix(done, "stop "+id+" within "))
	return err == nil && left > 2*time.Second && left <= 7*time.Second
}

// eventuallyStops waits until a container was stopped, once.
func (w *world) eventuallyStops(t *testing.T, id string) {
	t.Helper()
	w.eventually(t, id+" is stopped", func(context.Context) (bool, string) {
		done := slices.DeleteFunc(w.runtime.Done(), func(s string) bool { return !strings.HasPrefix(s, "stop "+id+" ") })
		return len(done) == 1 && isStop(done[0], id), strings.Join(done, "; ")
	})
}

// reads asks the API server what the agent may read. No agent runs; the tokens are real ones.
func reads(t *testing.T, w *world) {
	mine, theirs := w.createPod(t, "node-a", ours), w.createPod(t, "node-b", ours)
	on := func(node string) metav1.ListOptions {
		return metav1.ListOptions{FieldSelector: "spec.nodeName=" + node}
	}
	stranger := w.clientWith(t, w.unbound, "system:node:node-a")
	neighbour := w.clientWith(t, w.boundToken, "system:node:node-b")
	for name, read := range map[string]func(c kubernetes.Interface) error{
		"list": func(c kubernetes.Interface) error {
			_, err := c.CoreV1().Pods("").List(t.Context(), on("node-a"))
			return err
		},
		"watch": func(c kubernetes.Interface) error {
			watch, err := c.CoreV1().Pods("").Watch(t.Context(), on("node-a"))
			if err == nil {
				watch.Stop()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, read(w.asNode), "the Pods of its node")
			for who, client := range map[string]kubernetes.Interface{"as itself": w.bound, "a token without a node": stranger, "the token of another node": neighbour} {
				assert.True(t, apierrors.IsForbidden(read(client)), who)
			}
		})
	}
	list, err := w.asNode.CoreV1().Pods("").List(t.Context(), on("node-a"))
	require.NoError(t, err)
	names := map[string]bool{}
	for i := range list.Items {
		names[list.Items[i].Name] = true
	}
	assert.True(t, names[mine.Name] && !names[theirs.Name], names)
	nothing := []byte("{}")
	for what, try := range map[string]func() error{
		"the Pods of all nodes":            func() error { _, err := w.asNode.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); return err },
		"the Pods of another node":         func() error { _, err := w.asNode.CoreV1().Pods("").List(t.Context(), on("node-b")); return err },
		"the Pods of another as that node": func() error { _, err := neighbour.CoreV1().Pods("").List(t.Context(), on("node-b")); return err },
		"one Pod of another node": func() error {
			_, err := w.asNode.CoreV1().Pods("default").Get(t.Context(), theirs.Name, metav1.GetOptions{})
			return err
		},
		"one Pod of its own": func() error {
			_, err := w.asNode.CoreV1().Pods("default").Get(t.Context(), mine.Name, metav1.GetOptions{})
			return err
		},
		"its Node": func() error {
			_, err := w.asNode.CoreV1().Nodes().Get(t.Context(), "node-a", metav1.GetOptions{})
			return err
		},
		"Secrets": func() error {
			_, err := w.asNode.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
			return err
		},
		"a token, as the node": func() error {
			_, err := w.asNode.CoreV1().ServiceAccounts(home).CreateToken(t.Context(), "kruise-daemon", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		},
		"a Pod of another node by a patch that changes nothing": func() error {
			_, err := w.bound.CoreV1().Pods("default").Patch(t.Context(), theirs.Name, types.MergePatchType, nothing, metav1.PatchOptions{}, "status")
			return err
		},
		"a Pod of another node by a patch that is tried only": func() error {
			_, err := w.bound.CoreV1().Pods("default").Patch(t.Context(), theirs.Name, types.MergePatchType, nothing, metav1.PatchOptions{DryRun: []string{"All"}}, "status")
			return err
		},
	} {
		err := try()
		assert.True(t, apierrors.IsForbidden(err), "%s: %v", what, err)
	}
}

// TestBeforeConstrainedImpersonation asks what an agent says on a cluster that is older than it, and whether the component for such clusters helps.
func TestBeforeConstrainedImpersonation(t *testing.T) {
	w := startWorld(t, "feature-gates=ConstrainedImpersonation=false")
	version, err := w.runtime.Version(t.Context())
	require.NoError(t, err)
	worker, err := meta.New(meta.Clients{Read: w.asNode, Write: w.bound}, w.runtime, version, meta.Options{Node: "node-a"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	w.eventually(t, "the agent says what is missing", func(context.Context) (bool, string) {
		text := fmt.Sprint(worker.Ready())
		return strings.Contains(text, "before Kubernetes 1.36 that takes the component nodeagent/read-all-pods"), text
	})
	cancel()
	require.NoError(t, <-ended)

	component, err := os.ReadFile("../../bundles/nodeagent/read-all-pods/role.yaml")
	require.NoError(t, err)
	patch, err := yaml.YAMLToJSON(component)
	require.NoError(t, err)
	_, err = w.admin.RbacV1().ClusterRoles().Patch(t.Context(), "kruise-daemon-role", types.JSONPatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	w.asNode = w.bound
	pod := w.createPod(t, "node-a", ours)
	w.runtime.Set(string(pod.UID), container("main", "m1", 0, 0))
	w.startAgent(t)
	w.eventuallyReports(t, pod, mainAlone)
}

// admits asks the shipped policy what the agent may write. No agent runs; the tokens are real ones.
func admits(t *testing.T, w *world) {
	report := fmt.Sprintf(`{"metadata":{"annotations":{%q:"new"}}}`, pub.RuntimeContainerMetaKey)
	const justThat = "may change nothing of a Pod but its annotation apps.kruise.io/runtime-containers-meta"
	tests := map[string]struct {
		node      string
		token     string
		patch     string
		object    bool
		wantError string
	}{
		"the report of a Pod on its own node":                         {node: "node-a", patch: report},
		"no report of a Pod on another node":                          {node: "node-b", patch: report, wantError: `this Pod is on node "node-b", the token is of node "node-a"`},
		"no report of a Pod on no node":                               {patch: report, wantError: `this Pod is on node "", the token is of node "node-a"`},
		"nothing with a token that names no node":                     {node: "node-a", token: w.unbound, patch: report, wantError: `the token is of no node`},
		"nothing of a Pod on no node with a token that names none":    {token: w.unbound, patch: report, wantError: `the token is of no node`},
		"no other annotation":                                         {node: "node-a", patch: `{"metadata":{"annotations":{"other":"new"}}}`, wantError: justThat},
		"no other annotation beside the report":                       {node: "node-a", patch: fmt.Sprintf(`{"metadata":{"annotations":{%q:"new","theirs":"changed"}}}`, pub.RuntimeContainerMetaKey), wantError: justThat},
		"not that an annotation of others goes":                       {node: "node-a", patch: `{"metadata":{"annotations":{"theirs":null}}}`, wantError: justThat},
		"no label":                                                    {node: "node-a", patch: `{"metadata":{"labels":{"other":"new"}}}`, wantError: justThat},
		"no finalizer":                                                {node: "node-a", patch: `{"metadata":{"finalizers":["test.keelson.io/look"]}}`, wantError: justThat},
		"no status":                                                   {node: "node-a", patch: `{"status":{"phase":"Failed"}}`, wantError: justThat},
		"no condition":                                                {node: "node-a", patch: `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, wantError: justThat},
		"no Pod that has another UID than the one that was looked at": {node: "node-a", patch: `{"metadata":{"uid":"other"}}`, wantError: "metadata.uid: Invalid value"},
		"nothing but the status subresource":                          {node: "node-a", patch: report, object: true, wantError: `cannot patch resource "pods"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := w.createPod(t, tc.node, ours)
			client := w.bound
			if tc.token != "" {
				client = w.clientWith(t, tc.token)
			}
			var subresources []string
			if !tc.object {
				subresources = []string{"status"}
			}
			_, err := client.CoreV1().Pods(pod.Namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType, []byte(tc.patch), metav1.PatchOptions{}, subresources...)
			if tc.wantError == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.wantError)
			assert.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), "%v", err)
			assert.Equal(t, pod.ResourceVersion, w.read(t, pod).ResourceVersion)
		})
	}
	t.Run("and the policy binds nobody else", func(t *testing.T) {
		w.patch(t, w.createPod(t, "node-b", ours), `{"status":{"phase":"Running"}}`, "status")
	})
}

// awaitPolicy waits until the API server follows the policy.
func (w *world) awaitPolicy(t *testing.T) {
	t.Helper()
	pod := w.createPod(t, "node-b", ours)
	w.eventually(t, "the policy is followed", func(ctx context.Context) (bool, string) {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"new"}}}`, pub.RuntimeContainerMetaKey)
		_, err := w.bound.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return apierrors.IsForbidden(err), fmt.Sprint(err)
	})
}
