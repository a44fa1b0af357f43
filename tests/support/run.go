// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package support

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"

	kruisev1alpha1 "github.com/keelson/keelson/api/apps/v1alpha1"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
)

// KubeconfigEnv names the variable that holds the kubeconfig of the cluster under test.
const KubeconfigEnv = "KEELSON_KUBECONFIG"

// DeployedEnv names the variable that holds the overlay which has been applied already, so that a run of many suites applies it once.
const DeployedEnv = "KEELSON_DEPLOYED"

// AllowSimEnv names the variable that, set to 1, lets suites end well on simulated nodes, where they run no test.
const AllowSimEnv = "KEELSON_ALLOW_SIM"

// Main runs a suite on a cluster with an overlay installed. A suite whose tests all pass fails all the same when our programs were not well meanwhile: see health.
func Main(m *testing.M, overlay string) {
	// All clients of e2e-framework share this scheme, so it is filled before there is a second goroutine.
	if err := errors.Join(kruisev1beta1.AddToScheme(clientgoscheme.Scheme), kruisev1alpha1.AddToScheme(clientgoscheme.Scheme)); err != nil {
		fmt.Fprintf(os.Stderr, "preparing the suite: %v\n", err)
		os.Exit(1)
	}
	r := &suiteRun{overlay: overlay, provider: &Provider{}}
	testenv := env.NewWithConfig(envconf.New())
	testenv.Setup(envfuncs.CreateCluster(r.provider, "keelson"), r.prepare, r.takeBaseline)
	testenv.Finish(r.judge, r.restore)
	code := testenv.Run(m)
	if r.log.dir != "" {
		_ = os.RemoveAll(r.log.dir)
	}
	// e2e-framework keeps to itself what a Finish returns.
	if code == 0 && r.isSick {
		code = 1
	}
	os.Exit(code)
}

// suiteRun is one run of a suite.
type suiteRun struct {
	overlay  string
	provider *Provider
	client   *kubernetes.Clientset
	log      sickLog
	// hasBegun says that there is a baseline.
	hasBegun, isSick bool
}

// prepare tells the tests where the cluster is, and installs the overlay.
func (r *suiteRun) prepare(ctx context.Context, _ *envconf.Config) (context.Context, error) {
	if leave, message := leaveOut(r.provider.mode, os.Getenv(AllowSimEnv)); message != "" {
		fmt.Fprintln(os.Stderr, message)
		if leave {
			os.Exit(0)
		}
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "keelson-suite")
	if err != nil {
		return ctx, fmt.Errorf("preparing the suite: %w", err)
	}
	r.log = sickLog{dir: dir}
	for name, value := range map[string]string{KubeconfigEnv: r.provider.GetKubeconfig(), modeEnv: r.provider.mode, sickLogEnv: dir} {
		if err := os.Setenv(name, value); err != nil {
			return ctx, err
		}
	}
	if r.client, err = kubernetes.NewForConfig(r.provider.KubernetesRestConfig()); err != nil {
		return ctx, fmt.Errorf("reaching the cluster: %w", err)
	}
	deployed := os.Getenv(DeployedEnv)
	if deployed == r.overlay {
		return ctx, nil
	}
	if !mayDisrupt(r.provider.mode, os.Getenv(DisruptEnv), deploying) {
		return ctx, fmt.Errorf("the cluster is not ours, and overlays/%s is not said to be deployed: deploy it and set %s=%s, or let suites deploy by %s=%s",
			r.overlay, DeployedEnv, r.overlay, DisruptEnv, deploying)
	}
	return ctx, deploy(ctx, r.overlay)
}

// leaveOut tells whether a suite ends before its tests, with which message, and whether it ends well. Without a message it goes on.
func leaveOut(mode, allow string) (leave bool, message string) {
	if mode != "sim" && mode != "bench" {
		return false, ""
	}
	if allow == "1" {
		return true, "this suite needs real containers and the cluster is simulated: skipped"
	}
	return false, "this suite needs real containers and the cluster is simulated: " + AllowSimEnv + "=1 lets it end well without a test"
}

// takeBaseline notes how our programs are before the first test, and watches over them from then on.
func (r *suiteRun) takeBaseline(ctx context.Context, _ *envconf.Config) (context.Context, error) {
	if err := awaitPrograms(ctx, r.client, time.Minute); err != nil {
		return ctx, err
	}
	if err := r.log.begin(ctx, r.provider.KubernetesRestConfig()); err != nil {
		return ctx, err
	}
	r.hasBegun = true
	go r.watchOver(ctx)
	return ctx, nil
}

// watchOver ends the suite when our controllers have been away for a minute and no test is the reason: each test would wait for them in vain.
func (r *suiteRun) watchOver(ctx context.Context) {
	const every, patience = 5 * time.Second, time.Minute
	for lastSeen := time.Now(); ; time.Sleep(every) {
		if r.log.isDisrupted() || controllersServe(ctx, r.client) {
			lastSeen = time.Now()
		}
		if time.Since(lastSeen) > patience {
			fmt.Fprintf(os.Stderr, "no controller of ours has been available for %s, and no test is the reason: the suite ends here\n", patience)
			tellPrograms(ctx, os.Stderr, r.client, logRequest{since: lastSeen.Add(-patience), lines: 60})
			os.Exit(1)
		}
	}
}

// judge holds against the suite what became of our programs while no test disrupted them.
func (r *suiteRun) judge(ctx context.Context, _ *envconf.Config) (context.Context, error) {
	if !r.hasBegun {
		return ctx, nil
	}
	complaints, err := r.log.end(ctx, r.provider.KubernetesRestConfig())
	if err != nil {
		complaints = append(complaints, err.Error())
	}
	forgetReader(ctx, r.client)
	for _, complaint := range complaints {
		fmt.Fprintf(os.Stderr, "our programs were not well: %s\n", complaint)
	}
	if r.isSick = len(complaints) > 0; r.isSick {
		tellPrograms(ctx, os.Stderr, r.client, logRequest{lines: 40, isWanted: isTrouble})
	}
	return ctx, nil
}

// restore deploys again what was deployed for all suites of a run.
func (r *suiteRun) restore(ctx context.Context, _ *envconf.Config) (context.Context, error) {
	if deployed := os.Getenv(DeployedEnv); deployed != "" && deployed != r.overlay && r.log.dir != "" {
		return ctx, deploy(ctx, deployed)
	}
	return ctx, nil
}
