"""The text of what `agenttasks init` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ..settings.records import FILE_NAME
from .recipes import Detected, Gate

QUEUE = "tasks"
FOLDERS = ("pending", "done", "failed")
SAMPLE = f"{QUEUE}/sample-task.md"

_PLAIN = re.compile(r"[A-Za-z./][A-Za-z0-9_./+=@-]*( [A-Za-z0-9_./+=@-]+)*")
_WORDS = frozenset({"true", "false", "null"})


def files(detected: Detected) -> dict[str, str]:
    """Path (from the top folder) → text of everything that a queue needs."""
    keeps = {f"{QUEUE}/{folder}/.gitkeep": "" for folder in FOLDERS}
    return {FILE_NAME: example(detected), **keeps, SAMPLE: SAMPLE_TASK}


def example(detected: Detected) -> str:
    """agenttasks.yaml for a project: what was found, and the keys that people change first."""
    gates = _gates(detected.gates) if detected.gates else _no_gates(detected.suggestion)
    return f"{_HEAD}{gates}\n{_workspace(detected)}{_TAIL}"


def scalar(text: str) -> str:
    """`text` as YAML, in quotes where it needs them."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain and not text.startswith(".") else json.dumps(text, ensure_ascii=False)


def _flow(values: Sequence[str]) -> str:
    return f"[{', '.join(map(scalar, values))}]"


def _gates(gates: Sequence[Gate]) -> str:
    lines = ["gates:"]
    for gate in gates:
        lines += [f"  - name: {scalar(gate.name)}", f"    run: {scalar(gate.run)}"]
        if gate.cwd is not None:
            lines.append(f"    cwd: {scalar(gate.cwd)}")
        if gate.env:
            pairs = ", ".join(f"{name}: {json.dumps(value)}" for name, value in gate.env)
            lines.append(f"    env: {{{pairs}}}")
    return "\n".join(lines) + "\n"


def _no_gates(suggestion: str | None) -> str:
    return (
        "# No command for tests or lint was found. The queue does not run without a gate: fill in at least\n"
        "# one, and take the # away.\n"
        "gates:\n"
        f"#  - name: tests\n#    run: {scalar(suggestion or './run-tests.sh')}\n"
    )


def _workspace(detected: Detected) -> str:
    lines = []
    if detected.setup:
        lines.append(f"  setup: {scalar(detected.setup)}")
    if detected.setup_inputs:
        lines.append(f"  setup_inputs: {_flow(detected.setup_inputs)}")
    if detected.cache:
        lines.append(f"  cache: {_flow(detected.cache)}")
    lines.append(
        "#  copy: [.env]   # ignored files that gates need: each workspace gets a copy of this checkout's"
    )
    return _WORKSPACE_HEAD + "\n".join(lines) + "\n"


_HEAD = """\
# The settings of the task queue. A key that is not here has its default; `agenttasks schema` lists them all.
# Paths are relative to the repository's top folder; durations are seconds, or 90s, 45m, 2h.

# What every task must pass before it lands, on a clean checkout of exactly what would land. Cheap ones first.
"""

_WORKSPACE_HEAD = """\
# How a workspace gets its dependencies: `setup` runs again when one of `setup_inputs` changes.
workspace:
"""

_TAIL = """
# Paths that no task may change (those under `## Do Not Touch` in CLAUDE.md count too).
protected:
#  - migrations/

# One session of the agent.
agent:
#  timeout: 60m
#  budget_usd: 5

# The whole run: hand out no more tasks after that.
budget:
#  usd: 20
"""

SAMPLE_TASK = """\
# Task 000: Say hello in the user's language

This is a sample. It lies outside pending/, so it never runs: `agenttasks new "Title" --scope PATH` writes a
task of your own.

## Objective

`greet()` answers in the language of its `language` argument (`en`, `de`); it always answers in English now.

## Constraints

- `greet()` without an argument keeps answering in English.
- No new dependency.

## Files in Scope

- `src/greeting.py`
- `tests/test_greeting_language.py` — a new test file

## Definition of Done

- [ ] `greet("de")` is `"Hallo"`, and a test says so
- [ ] an unknown language raises `ValueError` naming the known ones

## Rollback

`git revert` of this task's commit.

## On Completion

Say which languages are known, and where they are listed.
"""
