# Every target sets up what it needs; see `make help`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
DRIVER ?= kernel
BIN := .venv/bin

.PHONY: help setup demo check test test-full test-peers conformance bench bench-lifecycle \
	bench-agreement gate fmt proto lock audit sbom dist clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## make the virtual environment (pinned, hashed packages)
	@scripts/setup

demo: setup ## containerd runs a container whose root filesystem snapfs prepared
	@demo/run.sh

check: setup ## lint, types, imports: clean on every commit
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@scripts/check-tree

test: ## every suite with bounded seeds; what continuous integration runs
	@scripts/setup tests
	@$(BIN)/python scripts/run-tests -m "not full"

test-full: ## the long versions of the suites too
	@scripts/setup tests
	@scripts/conformance kernel
	@scripts/conformance fuse
	@$(BIN)/pytest -q -m "not peers"

test-peers: ## side by side with programs from outside the repository
	@scripts/setup tests
	@scripts/install-peers
	@$(BIN)/pytest -q -m "containerd or peers"

conformance: setup ## containerd's own snapshotter suite; DRIVER=kernel|fuse
	@scripts/conformance $(DRIVER)

bench: setup ## the benchmark suite, quick profile; 3 minutes
	@$(BIN)/python -m benchmarks run --profile quick

bench-lifecycle: setup ## every call on snapshots, against containerd's snapshotter; an hour
	@$(BIN)/python -m benchmarks lifecycle --profile standard --json lifecycle.json

bench-agreement: setup ## the suite against hyperfine, fio and containerd's benchsuite
	@$(BIN)/python -m benchmarks agreement

gate: setup ## exact counts (system calls, syncs, bytes) and ratios of times against committed limits
	@$(BIN)/python -m benchmarks gate
	@$(BIN)/python -m benchmarks gate --ratios

fmt: setup ## format the code and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: setup ## generate the protocol buffers code anew
	@scripts/generate-protos

lock: setup ## resolve the requirements anew and pin them with hashes
	@cd requirements && for words in "dev.txt dev.in" "runtime.txt -c dev.txt runtime.in" \
		"audit.txt audit.in"; do \
		../$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
		--strip-extras --annotation-style=line --output-file $$words || exit; done

audit: setup ## known vulnerabilities of what snapfs runs with; needs the network
	@scripts/audit

sbom: setup ## the software bill of materials, CycloneDX
	@mkdir -p dist && $(BIN)/python scripts/sbom > dist/snapfs.cdx.json

dist: setup sbom ## wheel and sdist of the last commit, reproducible
	@$(BIN)/python scripts/dist

clean: ## remove what the targets made
	rm -rf .venv .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
