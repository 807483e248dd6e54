# Every target makes its own environment when it is missing or stale: `make check` is all that a clean clone needs.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# What dev.txt pins is what runs: pyright asks no registry whether there is a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# What mypy reads: the source, and whatever else is typed and there.
TYPED := src $(foreach dir,tests/typing examples benchmarks,$(if $(wildcard $(dir)/*.py $(dir)/*/*.py),$(dir)))

.PHONY: help
help:  ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

.PHONY: demo
demo: $(READY)  ## Run the example: index this repository with several workers, and search it
	@$(BIN)/python -m examples.index_project

.PHONY: test
test: $(READY)  ## Run the tests
	@$(BIN)/pytest -q -n auto --dist worksteal

.PHONY: lint
lint: $(READY)  ## Check everything but the tests
	@failed=; \
	try() { echo "$$*"; "$(BIN)/$$@" || failed+=" $$1"; }; \
	try ruff format --quiet --check .; \
	try ruff check --quiet .; \
	try mypy --strict --no-error-summary $(TYPED); \
	try pyright --warnings --project pyproject.toml; \
	try lint-imports --no-logo; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

.PHONY: check
check: lint test  ## Check everything

.PHONY: format
format: $(READY)  ## Format the code, and mend what can be mended
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

.PHONY: bench
bench: $(READY)  ## Run the benchmarks
	@$(BIN)/python -m benchmarks

.PHONY: nightly
nightly: $(READY)  ## Run the tests with many more examples
	@$(BIN)/pytest -q -n auto --timeout=3600 --hypothesis-profile=nightly

.PHONY: lock
lock: $(READY)  ## Pin the newest versions that requirements/dev.in allows
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --system-certs \
		--no-config --no-header --no-emit-index-url --no-emit-find-links requirements/dev.in -o requirements/dev.txt

.PHONY: clean
clean:  ## Remove the environment and all that was made
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, in three parts, so that a change of pyproject.toml alone does not install everything again.

.venv/.made:
	@for python in python3.11 python3 python3.12 python3.13; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making .venv"; "$$python" -m venv --clear .venv; touch $@; exit 0; \
		fi; \
	done; \
	echo "Traction needs Python 3.11 or newer, with venv; none was found on PATH." >&2; exit 1

.venv/.installed: requirements/dev.txt .venv/.made
	@echo "Installing requirements/dev.txt"
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements/dev.txt
	@touch $@

$(READY): pyproject.toml .venv/.installed
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@
