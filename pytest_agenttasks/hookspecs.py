"""Hooks for extenders; a plugin or the project's conftest.py may implement any of them.

PYTEST_DONT_REWRITE: nothing here asserts anything, and every pytest run of the environment imports this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .agents.contract import AgentResult, AgentWorkspace, Prompt
    from .settings.records import GateSettings
    from .tasks.task import Task
    from .trees.changes import Change

hookspec = pluggy.HookspecMarker("pytest")


@hookspec(firstresult=True)
def pytest_agenttasks_run_agent(task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
    """Run one session of the agent `workspace.agent.name` in `workspace`; None if that is another's agent.

    Start programs with `workspace.execute`: whatever runs there is ended with everything it started.
    """


@hookspec
def pytest_agenttasks_prompt(task: Task, prompt: Prompt) -> str | None:
    """Text to add to the prompt of an attempt, after the task and before what failed earlier."""


@hookspec
def pytest_agenttasks_gates(task: Task, gates: Sequence[GateSettings]) -> Sequence[GateSettings] | None:
    """Gates to run for `task` after those of the settings; they cannot replace one."""


@hookspec
def pytest_agenttasks_check_changes(task: Task, changes: Sequence[Change]) -> str | None:
    """A reason to refuse `changes` (in addition to the scope rules), or None."""


@hookspec(firstresult=True)
def pytest_agenttasks_commit_message(task: Task, message: str) -> str | None:
    """Another commit message; the runner's trailers are appended to it."""


@hookspec
def pytest_agenttasks_event(event: dict[str, Any]) -> None:
    """One event of the run (the same record as a line of orchestration.log)."""
