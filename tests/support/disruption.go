// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// DisruptEnv names the variable that asks for disruption of a cluster that is not ours: names of tests, "deploy" for overlays that suites install, or "all", with commas
// between them.
const DisruptEnv = "KEELSON_DISRUPT"

// modeEnv tells the tests of a suite what kind of cluster it is.
const modeEnv = "KEELSON_CLUSTER_MODE"

// deploying is the name of what suites do that install an overlay.
const deploying = "deploy"

// ours is the namespace of our programs.
const ours = "kruise-system"

// controllers is the label of our controllers.
const controllers = "controller-manager"

// mayDisrupt reports whether a disruption may go on in a cluster of a kind: in our own always, in another one when the wish names it.
func mayDisrupt(mode, wish, name string) bool {
	if mode != "existing" {
		return true
	}
	wishes := strings.Split(wish, ",")
	return slices.Contains(wishes, "all") || slices.Contains(wishes, name)
}

// Disrupt declares that a test breaks things on purpose: it kills, drains, evicts, installs or removes. What becomes of our programs until it ends is not held against
// them, but for a panic. On a cluster that is not ours the test is skipped unless DisruptEnv names it. It must not run beside other tests.
func Disrupt(t *testing.T) {
	t.Helper()
	if !mayDisrupt(os.Getenv(modeEnv), os.Getenv(DisruptEnv), t.Name()) {
		t.Skipf("this disrupts the cluster, which is not ours: %s=%s runs it", DisruptEnv, t.Name())
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(KubeconfigEnv))
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	log := sickLog{dir: os.Getenv(sickLogEnv)}
	require.NoError(t, log.pause(t.Context(), config, t.Name()))
	// What is registered first comes last: the test has mended what it broke.
	t.Cleanup(func() {
		require.NoError(t, awaitPrograms(context.Background(), client, Patience), "the test leaves our programs as it found them")
		require.NoError(t, log.resume(context.Background(), config))
	})
}

// mustBeDeclared fails where a test breaks things without having said so.
func mustBeDeclared(what string) error {
	if log := (sickLog{dir: os.Getenv(sickLogEnv)}); !log.isDisrupted() {
		return fmt.Errorf("%s: a test that does so declares it by support.Disrupt", what)
	}
	return nil
}

// awaitPrograms waits until all our programs run, at the newest version of what was deployed.
func awaitPrograms(ctx context.Context, client kubernetes.Interface, patience time.Duration) error {
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		if last = programsRun(ctx, client); last == nil {
			return nil
		}
	}
	return fmt.Errorf("waiting %s for our programs: %w", patience, last)
}

func programsRun(ctx context.Context, client kubernetes.Interface) error {
	deployments, err := client.AppsV1().Deployments(ours).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	agents, err := client.AppsV1().DaemonSets(ours).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	wanted := 0
	for i := range deployments.Items {
		d := &deployments.Items[i]
		if wanted += int(*d.Spec.Replicas); !isRolledOut(d) {
			return fmt.Errorf("%s has %d of %d available", d.Name, d.Status.AvailableReplicas, *d.Spec.Replicas)
		}
	}
	for _, d := range agents.Items {
		wanted += int(d.Status.DesiredNumberScheduled)
		if s := d.Status; s.ObservedGeneration != d.Generation || s.UpdatedNumberScheduled != s.DesiredNumberScheduled || s.NumberReady != s.DesiredNumberScheduled {
			return fmt.Errorf("%s has %d of %d ready", d.Name, s.NumberReady, s.DesiredNumberScheduled)
		}
	}
	return thereAre(ctx, client, wanted)
}

// isRolledOut reports whether all Pods of a Deployment, which is not scaled to 0, are as it wants them.
func isRolledOut(d *appsv1.Deployment) bool {
	s, replicas := d.Status, *d.Spec.Replicas
	return replicas > 0 && s.ObservedGeneration == d.Generation && s.UpdatedReplicas == replicas && s.AvailableReplicas == replicas
}

// thereAre fails unless our namespace holds so many Pods, and some.
func thereAre(ctx context.Context, client kubernetes.Interface, wanted int) error {
	pods, err := client.CoreV1().Pods(ours).List(ctx, metav1.ListOptions{})
	switch {
	case err != nil:
		return err
	case wanted == 0:
		return fmt.Errorf("namespace %s holds none", ours)
	case len(pods.Items) != wanted:
		return fmt.Errorf("there are %d Pods of %d", len(pods.Items), wanted)
	default:
		return nil
	}
}

// controllersServe reports whether a Pod of the controllers is ready. When nobody can tell, it is taken for granted: the API server has its own reasons.
func controllersServe(ctx context.Context, client kubernetes.Interface) bool {
	pods, err := client.CoreV1().Pods(ours).List(ctx, metav1.ListOptions{LabelSelector: programLabel + "=" + controllers})
	return err != nil || slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return IsReady(pod) })
}
