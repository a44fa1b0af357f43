# Copyright The Keelson Authors.
# SPDX-License-Identifier: Apache-2.0

# Everything is built and cached outside the checkout, keyed by version: see docs/development.md.
SHELL := /bin/bash
export GOFLAGS := -trimpath -buildvcs=false
export CGO_ENABLED := 0
NODES ?= 3
OVERLAY ?= default
FUZZ_SECONDS ?= 60
CLUSTER_PROGRAM := GOFLAGS= go run -C tests/cluster .

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## Bring up a cluster, install Keelson, and watch a CloneSet change its image in place
	@.ci/demo

.PHONY: test
test: ## Run all layers of tests: lint, kernel, story, fuzz, race (with the wiring), bundles, bench, feature
	@.ci/test lint kernel story fuzz race bundles bench feature

.PHONY: bench bench-kernels profile
PODS ?= 1000
ROUNDS ?= 3
BENCH_OUT ?= $(or $(TMPDIR),/tmp)/keelson-bench
BENCH = go run ./tests/bench --pods=$(PODS) --scenario=$(SCENARIO)
bench: ## Measure speed and cost beside a bare client and Deployments (PODS=1000 ROUNDS=3 SCENARIO=..., BENCH_OUT=folder, BENCH_DOCS=page)
	@$(BENCH) --rounds=$(ROUNDS) --out=$(BENCH_OUT) --docs=$(BENCH_DOCS); status=$$?; CLUSTER=bench $(CLUSTER_PROGRAM) down; exit $$status
bench-kernels: ## Measure the pure kernels, six times, with benchstat
	@go test ./controllers/... -run='^$$' -bench=. -count=6 | tee $(or $(TMPDIR),/tmp)/keelson-kernels.txt > /dev/null
	@"$$(.ci/tool benchstat)" $(or $(TMPDIR),/tmp)/keelson-kernels.txt
profile: ## Show where the controllers spend their time and memory (SCENARIO=in-place PODS=1000)
	@$(BENCH) --rounds=1 --profiles=$(BENCH_OUT)/profiles; status=$$?; CLUSTER=bench $(CLUSTER_PROGRAM) down; exit $$status
	@go tool pprof -top -cum -nodecount=60 $(BENCH_OUT)/profiles/*-cpu-*.pprof 2>/dev/null | cut -c1-150
	@echo "more: go tool pprof -http=: $(BENCH_OUT)/profiles/..."

.PHONY: lint test-kernel test-story fuzz test-wiring test-race test-bundles test-bench test-feature
lint: ## Check the rules of the house
	@.ci/test lint
test-kernel: ## Is this arithmetic right?
	@.ci/test kernel
test-story: ## Does a whole rollout go as told, in any interleaving?
	@.ci/test story
fuzz: ## Does any input at all break a parser or a plan? (FUZZ_SECONDS=60 for each target)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) .ci/test fuzz
test-wiring: ## Do watches, permissions and patches work against a real API server?
	@.ci/test wiring
test-race: ## Do goroutines of ours race? The wiring and more, under the race detector
	@.ci/test race
test-bundles: ## Does every overlay render, and grant what it must and no more?
	@.ci/test bundles
test-bench: ## Does the bench count as few writes as there should be?
	@.ci/test bench
test-feature: ## Does a user see it on a cluster with real kubelets?
	@.ci/test feature

.PHONY: up down kubeconfig envtest
up: ## Bring up the local cluster, or find it up (NODES=3, CLUSTER=host|kind|sim|existing)
	@$(CLUSTER_PROGRAM) up --nodes=$(NODES)
down: ## Take the local cluster away
	@$(CLUSTER_PROGRAM) down
kubeconfig: ## Print the path of the kubeconfig
	@$(CLUSTER_PROGRAM) kubeconfig
envtest: ## Build the API server and etcd, and print the folder for envtest
	@$(CLUSTER_PROGRAM) assets

.PHONY: images deploy generate
images: ## Build the three images and push them to KO_DOCKER_REPO
	@.ci/images build
deploy: ## Apply an overlay to the cluster (OVERLAY=default|short-hash|all)
	@.ci/deploy $(OVERLAY)
generate: ## Write the CRDs and deep copies anew
	@.ci/generate
