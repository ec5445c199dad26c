"""Turning a pytest run into a run of the queue: what was typed counts, the project's own options do not."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from .. import settings as settings_module
from ..outcome import SetupError
from ..plugin import OPTIONS, Typed
from ..queue import open_queue
from ..repository import discover
from .protocol import Protocol
from .session import QueueSession
from .terminal import Terminal

TYPED_ONLY = (
    "numprocesses", "maxprocesses", "tx", "dist", "distload", "px", "maxfail", "keyword", "markexpr", "deselect", "lf",
    "failedfirst", "newfirst", "stepwise", "stepwise_skip", "stepwise_reset", "collectonly", "ignore", "ignore_glob",
    "reruns", "timeout", "timeout_method", "pyargs", "doctestmodules", "setuponly", "setupplan", "looponfail",
    "continue_on_collection_errors", "usepdb", "trace", "count", "strict_markers",
)  # fmt: skip
"""Options that would choose, order, cut short or repeat tasks."""


def activate(config: pytest.Config, *, within_run: bool) -> None:
    """Make `config` run the queue, or raise pytest.UsageError."""
    typed = _typed(config)
    if within_run:
        if typed.agent_tasks:
            raise pytest.UsageError(
                "--agent-tasks inside a gate or a session: a run does not start another; give the gate the tests' own command"
            )
        config.option.agent_tasks = None
        return
    for name in TYPED_ONLY:
        if hasattr(config.option, name) and hasattr(typed, name):
            setattr(config.option, name, getattr(typed, name))
    _quiet_coverage(config, typed)
    if getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None):
        raise pytest.UsageError(
            "-n (several agents at once) is not supported by this version yet: run without it, one agent at a time"
        )
    try:
        session = _open(config)
    except SetupError as error:
        raise pytest.UsageError(str(error)) from error
    config.args[:] = _arguments(config, session, typed)
    terminal = Terminal(config, session)
    config.pluginmanager.register(terminal, "agenttasks-terminal")
    config.pluginmanager.register(Protocol(session, terminal), "agenttasks-protocol")


def _typed(config: pytest.Config) -> argparse.Namespace:
    holder = config.pluginmanager.get_plugin("agenttasks-typed")
    assert isinstance(holder, Typed)
    arguments = [str(argument) for argument in config.invocation_params.args]
    namespace: argparse.Namespace = holder.parser.parse_known_args(arguments)
    return namespace


def _quiet_coverage(config: pytest.Config, typed: argparse.Namespace) -> None:
    """A project's --cov measures its tests; here it would only measure the runner, and fail it under a threshold."""
    if hasattr(config.option, "no_cov") and not getattr(typed, "cov_source", None):
        config.option.no_cov = True
        config.option.cov_fail_under = None
        plugin = config.pluginmanager.get_plugin("_cov")
        if plugin is not None:
            config.pluginmanager.unregister(plugin)


def _open(config: pytest.Config) -> QueueSession:
    directory = config.invocation_params.dir
    asked = Path(os.path.abspath(directory / config.option.agent_tasks))
    start = asked if asked.is_dir() else asked.parent
    repository = discover(start if start.is_dir() else directory)
    queue = open_queue(repository, asked)
    named = config.getoption("agent_config")
    file = Path(os.path.abspath(directory / named)) if named else repository.top / settings_module.FILE_NAME
    if named and not file.is_file():
        raise SetupError(f"--agent-config {named}: no such file")
    settings = settings_module.load(file, _overrides(config))
    return QueueSession(config, repository, queue, settings, file)


def _overrides(config: pytest.Config) -> dict[str, object]:
    given: dict[str, object] = {}
    for flag, _, _, key in OPTIONS:
        value = config.getoption(flag.lstrip("-").replace("-", "_"), None)
        if key and value is not None:
            given[key] = _number(str(value))
    if "wait" not in given and os.environ.get("CI"):
        given["wait"] = 0
    return given


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _arguments(config: pytest.Config, session: QueueSession, typed: argparse.Namespace) -> list[str]:
    asked = Path(os.path.abspath(config.invocation_params.dir / config.option.agent_tasks))
    if not typed.file_or_dir:
        return [str(asked)]
    pending = session.queue.pending.resolve()
    for argument in typed.file_or_dir:
        path = Path(os.path.abspath(config.invocation_params.dir / str(argument).partition("::")[0]))
        if not path.resolve().is_relative_to(pending) or not os.path.lexists(path):
            raise pytest.UsageError(
                f"{argument}: no task of {session.queue.pending}; with --agent-tasks only tasks can be named "
                "(`--collect-only -q` lists them)"
            )
    return [str(argument) for argument in typed.file_or_dir]
