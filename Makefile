# Each target creates or updates the environment that it needs, so `make check` works in a clean clone.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The Pythons that Traction is tested on, oldest first. The first one that is installed makes .venv, the others
# .venv-3.12 and so on.
PYTHONS := 3.11 3.12 3.13 3.14

BIN := .venv/bin
READY := .venv/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# pyright runs in the version that dev.txt pins, and does not check for a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# Paths that mypy checks: the source, and each of the other typed folders that exists.
TYPED := src $(foreach dir,tests/typing examples benchmarks,$(if $(wildcard $(dir)/*.py $(dir)/*/*.py),$(dir)))

.PHONY: help
help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

.PHONY: demo
demo: $(READY)  ## Run the example: index this repository with several workers and search it
	@$(BIN)/python -m examples.index_project

.PHONY: test
test: $(READY)  ## Run the tests
	@$(BIN)/pytest -q -n auto --dist worksteal

# The tests to run on Pythons other than that of .venv; empty means the whole suite.
TESTS :=

.PHONY: check-pythons
check-pythons:  ## Run the tests on each supported Python that is installed
	@missing=; failed=; tested=; \
	for version in $(PYTHONS); do \
		if ! .ci/find-python $$version >/dev/null; then missing+=" $$version"; continue; fi; \
		echo "Python $$version"; \
		if $(MAKE) .venv-$$version/.ready && .venv-$$version/bin/python -m pytest -q -n auto --dist worksteal $(TESTS); \
		then tested+=" $$version"; else failed+=" $$version"; fi; \
	done; \
	echo "Passed on Python:$${tested:- none}"; \
	if [ -n "$$missing" ]; then echo "NOT TESTED, because it is not installed: Python$$missing" >&2; fi; \
	if [ -n "$$failed" ]; then echo "FAILED on Python$$failed" >&2; exit 1; fi; \
	[ -n "$$tested" ]

.PHONY: check-newest
check-newest: $(READY)  ## Run the unit, property, typing and docs tests on the newest Python that is installed
	@default="$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')"; newest=; \
	for version in $(PYTHONS); do if .ci/find-python $$version >/dev/null; then newest=$$version; fi; done; \
	if [ "$$newest" = "$$default" ]; then \
		echo "NOT TESTED on a Python newer than $$default, because none is installed" >&2; exit 0; \
	fi; \
	$(MAKE) check-pythons PYTHONS="$$newest" TESTS="tests/unit tests/properties tests/typing tests/docs"

.PHONY: lint
lint: $(READY)  ## Check format, lint, types and imports
	@failed=; \
	try() { echo "$$*"; "$(BIN)/$$@" || failed+=" $$1"; }; \
	try ruff format --quiet --check .; \
	try ruff check --quiet .; \
	try mypy --strict --no-error-summary $(TYPED); \
	try pyright --warnings --project pyproject.toml; \
	try lint-imports --no-logo; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

.PHONY: check
check: lint test  ## Run lint and test: everything that CI runs

.PHONY: format
format: $(READY)  ## Format the code and apply automatic fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

.PHONY: bench
bench: $(READY)  ## Run the benchmarks
	@$(BIN)/python -m benchmarks

.PHONY: nightly
nightly: $(READY)  ## Run the tests with 2,500 Hypothesis examples each
	@$(BIN)/pytest -q -n auto --timeout=3600 --hypothesis-profile=nightly

.PHONY: lock
lock: $(READY)  ## Pin the newest versions that requirements/dev.in allows
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --system-certs \
		--no-config --no-header --no-emit-index-url --no-emit-find-links requirements/dev.in -o requirements/dev.txt

.PHONY: clean
clean:  ## Remove the environments and all generated files
	@rm -rf .venv .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made in three parts, so that a change of pyproject.toml alone does not install everything again. `.venv` is made
# by the oldest Python that is installed, `.venv-3.13` by that version.
.PRECIOUS: %/.made %/.installed

%/.made:
	@versions="$(if $(filter .venv,$*),$(PYTHONS),$(*:.venv-%=%))"; \
	python="$$(.ci/find-python $$versions)" || { \
		echo "Traction needs Python 3.11 or newer, with venv. Not installed: $$versions" >&2; exit 1; }; \
	echo "Making $*"; "$$python" -m venv --clear $*; touch $@

%/.installed: requirements/dev.txt %/.made
	@echo "Installing requirements/dev.txt in $*"
	@$*/bin/python -m pip install -qq --require-hashes -r requirements/dev.txt
	@touch $@

%/.ready: pyproject.toml %/.installed
	@$*/bin/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@
