"""The agents that come with the package, and what each needs before a run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ..settings.records import AgentSettings
from . import claude, command, replay

UNPRICED = frozenset({"command"})
"""Agents of these that never tell what a session has cost."""
BuiltIn = claude.ClaudeAgent | command.CommandAgent | replay.ReplayAgent


def built_in_agents() -> Mapping[str, BuiltIn]:
    """Name → plugin object, each implementing `pytest_agenttasks_run_agent`."""
    return {"claude": claude.ClaudeAgent(), "command": command.CommandAgent(), "replay": replay.ReplayAgent()}


def unknown(name: str, place: str) -> str:
    """The words for an agent that nobody brings; `place` is what named it, a file or the command line."""
    close = difflib.get_close_matches(name, built_in_agents(), n=1)
    hint = f" did you mean `{close[0]}`?" if close else ""
    return f"{place}: no agent named `{name}`;{hint} use claude, command or replay, or install the plugin that registers it"


def preflight(settings: AgentSettings, environment: Mapping[str, str]) -> str | None:
    """A line that describes the agent, None for one that is not built in. Raises SetupError when it cannot run."""
    checks = {"claude": claude.preflight, "command": command.preflight, "replay": replay.preflight}
    check = checks.get(settings.name)
    return None if check is None else check(settings, environment)
