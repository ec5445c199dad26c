"""Where the attempts at a task show what goes on: a terminal, or the process that has one."""

from __future__ import annotations

from typing import Protocol

from ..agents.contract import Progress


class Screen(Protocol):
    def begin(self, what: str) -> None:
        """`what` starts now: an attempt, or the checks before the first one."""

    def progress(self, _task: str, progress: Progress) -> None:
        """What the agent of the task does now."""

    def tick(self) -> None:
        """Time goes by; called a few times a second while a program runs."""

    def wait(self) -> None:
        """A pause begins."""

    def waiting(self, task: str, why: str, left: float) -> None:
        """The pause before the task's next attempt goes on for `left` more seconds."""

    def clear(self) -> None:
        """Make room for a result."""
