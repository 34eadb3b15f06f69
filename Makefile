# Everything runs in .venv, made once from requirements.lock; after that nothing needs the network.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := flow_pipelines flow_pipelines_tests $(wildcard benchmarks)

# What a caller's shell may hold and would lead Python or pip astray.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
# Tests start a hundred Pythons; without bytecode each compiles all of this again.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUNBUFFERED := 1

.PHONY: help demo sandbox test test-all check test-browser pictures lint types unit crash mutants kills cluster chaos bench format docs lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(INSTALLED) ## last night's batch on local stand-ins: UI, pictures, costs (ARGS=--exit ends by itself)
	@exec $(BIN)/flow-pipelines demo $(ARGS)

sandbox: $(INSTALLED) ## only the stand-ins and a local bucket
	@exec $(BIN)/flow-pipelines sandbox $(ARGS)

test: QUICK := and not exhaustive
test: check ## everything that has to pass, one of each kind: style, types, floors, tests

test-all: QUICK :=
test-all: check ## the same, and the whole fault alphabet, 10,000 rows, 300 pictures: as .ci/run does

# Nights in a whole Dagster mostly wait, so they run beside the other tests, a file of them on each of
# two processes; in the files' order, the first and the last take as long as the one between.
check: lint types
	@mkdir -p .pytest_cache; \
	$(BIN)/pytest -q -m 'end_to_end and not browser $(QUICK)' -n 2 --dist loadfile --no-loadscope-reorder flow_pipelines_tests/dagster \
	  >.pytest_cache/end_to_end.log 2>&1 & nights=$$!; \
	trap 'kill $$nights; wait $$nights' INT TERM HUP; \
	status=0; \
	$(BIN)/pytest -q -m 'not end_to_end and not kills and not browser $(QUICK)' -n 2 --dist worksteal || status=1; \
	wait $$nights || status=1; \
	cat .pytest_cache/end_to_end.log; \
	exit $$status

test-browser: $(INSTALLED) ## what people see, in a real browser (needs chromium)
	@{ type -P chromium || type -P chromium-browser || type -P google-chrome; } >/dev/null || \
	{ echo "Chromium is needed: apt-get install chromium" >&2; exit 1; }
	$(BIN)/pytest -q -m browser $(ARGS)

pictures: $(INSTALLED) ## make the README's pictures anew, from nights at the stand-ins (needs chromium)
	@exec $(BIN)/python -m flow_pipelines_tests.browser.pictures $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports --no-logo

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED) ## some tests: make unit ARGS="-k sensor"
	$(BIN)/pytest $(ARGS)

crash: $(INSTALLED) ## kill a night at every single one of its effects, and see it end well
	@exec $(BIN)/python -m flow_pipelines_tests.faults.crash $(ARGS)

mutants: $(INSTALLED) ## take guards out of a copy of the code, one by one: which tests fail?
	@exec $(BIN)/python -m flow_pipelines_tests.faults.mutants $(ARGS)

kills: $(INSTALLED) ## kill run workers, code server and daemon of a real Dagster in turn
	$(BIN)/pytest -q -m kills $(ARGS)

cluster: $(INSTALLED) ## three hosts in network namespaces, Celery, PostgreSQL: kills, cuts, wrong clocks (needs root)
	@exec $(BIN)/python -m flow_pipelines_tests.cluster $(ARGS)

chaos: $(INSTALLED) ## 1,000 submissions amid lost answers, kills, restored ledgers, two accounts and a stranger
	@exec $(BIN)/python -m flow_pipelines_tests.faults.chaos $(ARGS)

bench: $(INSTALLED) ## ours against a named alternative: a table with both, the targets, and what missed them
	@exec $(BIN)/python -m benchmarks $(ARGS)

format: $(INSTALLED) ## let ruff put the code in order
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: $(INSTALLED) ## write the pages that are made from the tests
	$(BIN)/python -m flow_pipelines_tests.faults.alphabet.document
	$(BIN)/python -m flow_pipelines_tests.conformance.calls.document
	$(BIN)/python -m flow_pipelines_tests.cases.document

lock: ## pin every dependency again (needs uv)
	uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	uv pip compile -q pyproject.toml deploy/requirements.in --extra cluster --extra sandbox --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.lock -o deploy/requirements.lock

clean: ## remove what make has made
	rm -rf $(VENV) .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(INSTALLED): requirements.lock pyproject.toml
	@python=$${PYTHON:-}; \
	for candidate in python3.11 python3 python; do \
	  [ -n "$$python" ] && break; \
	  "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && python=$$candidate; \
	done; \
	[ -n "$$python" ] || { echo "Python 3.11, 3.12 or 3.13 is needed; set PYTHON to one." >&2; exit 1; }; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-input --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-input --no-deps --no-build-isolation --editable .
	@touch $@
