"""The core's extension points, answered by pytest's hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ..agents.contract import AgentResult, AgentWorkspace, Prompt
from ..notifier import VERSION
from ..settings.records import GateSettings
from ..tasks.task import Task
from ..trees.changes import Change

BUILT_IN = "agenttasks-agent-"
"""Prefix of the names under which the built-in agents are registered."""


class HookExtensions:
    """Asks every registered plugin and conftest.py."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def run_agent(self, task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
        result: AgentResult | None = self._config.hook.pytest_agenttasks_run_agent(
            task=task, workspace=workspace, prompt=prompt
        )
        return result

    def prompt(self, task: Task, prompt: Prompt) -> Sequence[str]:
        return [text for text in self._config.hook.pytest_agenttasks_prompt(task=task, prompt=prompt) if text]

    def gates(self, task: Task, gates: Sequence[GateSettings]) -> Sequence[GateSettings]:
        answers = self._config.hook.pytest_agenttasks_gates(task=task, gates=gates)
        return [gate for answer in answers for gate in answer or ()]

    def check_changes(self, task: Task, changes: Sequence[Change]) -> Sequence[str]:
        return [
            reason
            for reason in self._config.hook.pytest_agenttasks_check_changes(task=task, changes=changes)
            if reason
        ]

    def commit_message(self, task: Task, message: str) -> str | None:
        answer: str | None = self._config.hook.pytest_agenttasks_commit_message(task=task, message=message)
        return answer

    def event(self, record: Mapping[str, Any]) -> None:
        """Tell of an event of what is no run; of a run's the `Announcer` tells."""
        self._config.hook.pytest_agenttasks_event(event={"version": VERSION, **record})

    def knows_agent(self, name: str) -> bool:
        """Whether some plugin or conftest.py brings an agent of its own."""
        implementations = self._config.hook.pytest_agenttasks_run_agent.get_hookimpls()
        return any(not str(found.plugin_name).startswith(BUILT_IN) for found in implementations)
