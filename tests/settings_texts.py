"""Reading settings in tests, and the public contract's example of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.settings.loading import load
from pytest_agenttasks.settings.records import Settings

CONTRACT = """\
agent: {name: claude, command: claude, model: null, allowed_tools: [Read, Edit, Write, Bash], bash_allow: null,
        max_turns: 100, timeout: 60m, stall_timeout: 12m, budget_usd: null, env: {}, env_pass: [], args: []}
gates:                       # in this order; cheap ones first
  - {name: lint, run: npm run lint, timeout: 2m}
  - {name: tests, run: npm test, cwd: null, junit: reports/junit.xml, env_pass: [DATABASE_URL], known_red: []}
max_attempts: 2
retry_delay: 30
retry_from: auto
protected: [src/core/billing/, migrations/]
tests: null
drop: [package-lock.json]
workspace: {setup: npm ci, setup_inputs: [package-lock.json], copy: [.env, node_modules], cache: [target], link: [],
            up: null, down: null}
memory: {file: CLAUDE.md, completed_log_limit: 30}
commit: {type: feat, trailers: true}
review: {every_tasks: 20, every_hours: 8}
budget: {usd: null, sessions: null}
sandbox: auto                # auto | bwrap | none
canary: warn                 # warn | strict | off
notify: null
"""
"""The example of the public contract, word for word but for line breaks and comments."""

Read = Callable[..., Settings]


def reader(file: Path) -> Read:
    """A function that loads a text, written to `file`; `agent__name="x"` overrides `agent.name`."""

    def read(text: str | bytes, **overrides: object) -> Settings:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(file, {key.replace("__", "."): value for key, value in overrides.items()})

    return read


def message(read: Read, text: str | bytes, **overrides: object) -> str:
    """What `load` says, without the folder."""
    with pytest.raises(SetupError) as caught:
        read(text, **overrides)
    return re.sub(r"^\S*/(?=agenttasks\.yaml)", "", str(caught.value))
