# Everything this project does, by name. `make help` lists it; CI runs the same.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo demo-down test test-fast test-crash test-az test-ansible test-go-sdk lint format generate check-generated bench bench-fleet bench-emulator clean

help: ## list these tasks
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...")'
	@echo "Installing Python packages into $(VENV) (locked, with hashes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## install what development needs, and build or find the local API server
	@$(BIN)/python -m local_cluster binaries

demo: $(STAMP) ## try it here: an environment becomes Ready, then a VM size is edited (KEEP=1 leaves it running)
	@$(BIN)/hpc-operator try $(if $(KEEP),--keep)

demo-down: $(STAMP) ## end what `make demo KEEP=1` left running
	@$(BIN)/hpc-operator try --down

test: $(STAMP) ## run all tests, those with a real API server too
	@tests/system-packages.sh
	@$(BIN)/python -m local_cluster binaries
	@$(BIN)/pytest -n 3 --dist loadgroup

test-fast: $(STAMP) ## run the tests that need no API server
	@$(BIN)/pytest -m "not cluster"

test-crash: $(STAMP) ## kill the operator at every call of a life, let every call go wrong, print the figures (40 min)
	@$(BIN)/python -m local_cluster binaries
	@$(BIN)/python tests/crash/run.py

# Clients that none of us wrote, each in an environment of its own (locked, with hashes) beside ours.
.state/%-venv/.installed: tests/clients/%/requirements.lock
	@echo "Installing $* into .state/$*-venv: up to 2 GB, a minute or two"
	@$(PYTHON) -m venv .state/$*-venv
	@.state/$*-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.state/go-sdk/life: tests/clients/go/life.go tests/clients/go/go.mod tests/clients/go/go.sum
	@echo "Building with Terraform's Azure SDK into .state/go-sdk: a minute or two"
	@cd tests/clients/go && go build -o ../../../$@ .

test-az: $(STAMP) .state/az-venv/.installed ## run the az command line against the emulator
	@$(BIN)/pytest tests/clients/az

test-ansible: $(STAMP) .state/ansible-venv/.installed ## run a playbook of azure.azcollection against the emulator
	@$(BIN)/pytest tests/clients/ansible

test-go-sdk: $(STAMP) .state/go-sdk/life ## run the SDK below Terraform's azurerm provider against the emulator
	@$(BIN)/pytest tests/clients/go

lint: $(STAMP) ## ruff, mypy, import directions, helm lint, and whether generated files are in step
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory check-generated
	@"$$($(BIN)/python -m local_cluster binaries helm)" lint --strict --quiet --values charts/azure-hpc-operator/ci/minimal-values.yaml charts/azure-hpc-operator

generate: $(STAMP) ## make anew what is generated: CRDs, their copy in the chart, the field reference, body shapes
	@$(BIN)/hpc-operator crds --write .
	@$(BIN)/python tests/sdk/write_shapes.py --write
	@$(BIN)/azure-emulator types --markdown > docs/reference/emulator.md
	@charts/sync-crds.sh

check-generated: $(STAMP)
	@$(BIN)/hpc-operator crds --check .
	@$(BIN)/python tests/sdk/write_shapes.py --check
	@$(BIN)/azure-emulator types --markdown | diff --brief - docs/reference/emulator.md >/dev/null || { echo "docs/reference/emulator.md is out of step: run make generate"; exit 1; }
	@charts/sync-crds.sh --check

format: $(STAMP) ## format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(STAMP) ## measure: requests, writes and ratios, printed as a table
	@$(BIN)/python -m local_cluster binaries
	@$(BIN)/python tests/bench/run.py

bench-fleet: $(STAMP) ## measure one operator with 1,000 environments: memory, processor, restart, edits (15 minutes)
	@$(BIN)/python -m local_cluster binaries
	@$(BIN)/python tests/bench/fleet.py

bench-emulator: $(STAMP) ## measure the emulator with 50,000 resources: requests per second, memory, start
	@$(BIN)/python tests/bench/emulator.py

clean: ## remove the virtual environment and all state of demos and tests
	@rm -rf $(VENV) .state .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
