# Two commands set everything up on a fresh machine: `make demo` (Python 3.11+ and git) and `make test` (npm too).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AGENT ?= replay
CLAUDE_VERSION := 2.1.197
CLAUDE := .cache/claude
ATTACKS := $(wildcard tests/test_attack*.py)
# Hundreds of short Python processes would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo setup test attacks crashes mutants lint types check bench soak wheel clean

demo: $(VENV)/installed
	$(BIN)/agenttasks demo --agent $(AGENT)

setup: $(VENV)/developer $(CLAUDE)/$(CLAUDE_VERSION)

test: $(VENV)/developer $(CLAUDE)/$(CLAUDE_VERSION)
	$(BIN)/python -m pytest -n 2 $(addprefix --ignore=,$(ATTACKS)) $(ARGS)

attacks: $(VENV)/developer $(CLAUDE)/$(CLAUDE_VERSION)
	$(BIN)/python -m pytest -n 2 $(ATTACKS) $(ARGS)

crashes: $(VENV)/developer
	$(BIN)/python -m tests.crash $(ARGS)
	AGENTTASKS_TEST_FATES=40 $(BIN)/python -m pytest -q tests/test_crashes_and_users.py

mutants: $(VENV)/developer $(CLAUDE)/$(CLAUDE_VERSION)
	$(BIN)/python -m tests.mutants $(ARGS)

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/developer
	$(BIN)/mypy

check: lint types test attacks mutants demo

bench: $(VENV)/developer
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/developer
	$(BIN)/python -m soak $(ARGS)

wheel: $(VENV)/developer
	$(BIN)/python -m pip wheel -q --no-deps -w dist .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	touch $@

$(VENV)/developer: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(CLAUDE)/$(CLAUDE_VERSION):
	npm install --silent --no-audit --no-fund --prefix $(CLAUDE) @anthropic-ai/claude-code@$(CLAUDE_VERSION)
	$(CLAUDE)/node_modules/.bin/claude --version
	touch $@

clean:
	rm -rf $(VENV) .cache dist build
