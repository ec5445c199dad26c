"""The pytest entry point: options, and turning everything else on when --agent-tasks is given.

Imported by every pytest run of the environment: nothing heavy may be imported here, and PYTEST_DONT_REWRITE spares
pytest from looking for assertions where it cannot keep what it compiles.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

OPTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("--agent-config", "FILE", "settings file (default: agenttasks.yaml in the repository's top folder)", ""),
    ("--agent", "NAME", "claude, command, replay, or one that a plugin registers", "agent.name"),
    ("--agent-max-attempts", "N", "sessions that a task may use up (default: 2)", "max_attempts"),
    ("--agent-retry-delay", "S", "pause before the next attempt, doubling (default: 30)", "retry_delay"),
    ("--agent-budget-usd", "X", "hand out no more tasks after spending this much", "budget.usd"),
    ("--agent-max-sessions", "N", "hand out no more tasks after this many sessions", "budget.sessions"),
    (
        "--agent-wait",
        "T",
        "longest wait for a usage limit or an outage (default: no limit; 0 with CI set)",
        "wait",
    ),
    ("--agent-until", "HH:MM", "hand out nothing after that time", "until"),
    (
        "--agent-review-every",
        "N",
        "stop for a human after N landed tasks since the last approval",
        "review.every_tasks",
    ),
)
"""Flag, metavar, help, and the key in agenttasks.yaml that it overrides."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    group = parser.getgroup("agenttasks", "agent tasks as tests")
    group.addoption(
        "--agent-tasks",
        metavar="PATH",
        default=None,
        help="run the queue in this folder; ordinary tests are not collected",
    )
    for flag, metavar, text, _ in OPTIONS:
        group.addoption(flag, metavar=metavar, default=None, help=text)
    pluginmanager.register(Typed(parser), "agenttasks-typed")


class Typed:
    """Holds the parser, to tell what was typed on the command line from the project's addopts."""

    def __init__(self, parser: pytest.Parser) -> None:
        self.parser = parser


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from . import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    asked = getattr(early_config.known_args_namespace, "agent_tasks", None)
    if not asked or _within_run():
        return (yield)
    from .integration import typed, workers_wanted

    workers_wanted.refuse_without_xdist(typed.arguments(early_config), early_config.pluginmanager)
    typed.forget_addopts(early_config.known_args_namespace, typed.options(early_config, parser))
    # Of the conftest.py files only those on the way to the queue are imported: tasks may change those of the tests.
    early_config.known_args_namespace.file_or_dir = [asked]
    result = yield
    typed.forget_unknown(early_config, parser, args)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    if config.getoption("agent_tasks", None) and not config.option.help:
        from .integration.activation import activate

        activate(config, within_run=_within_run())
    return (yield)


def _within_run() -> bool:
    """Whether this process was started by a gate or an agent of a run."""
    return "AGENTTASKS_ACTIVE" in os.environ
