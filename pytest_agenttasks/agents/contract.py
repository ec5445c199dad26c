"""What the runner gives an agent and what it expects back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..outcome import Outcome
from ..processes.supervisor import Finished
from ..settings.records import AgentSettings


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one session is told: the runner's rules, the task's text unchanged, what failed before."""

    text: str
    file: Path


@dataclass(frozen=True, slots=True)
class Progress:
    """What an agent is doing now, for the live line; every field may hold agent-written text."""

    step: str = ""
    turns: int | None = None
    cost_usd: float | None = None
    session: str | None = None


STARTING = Progress(step="starting")
"""What the runner itself says when a session begins."""


class Execute(Protocol):
    """Run one program in the workspace under the supervisor, with everything it starts ended afterwards.

    `poll` is called about four times a second while it runs; a text that it returns ends the program (and
    is then `Finished.stopped`). `stdout` and `stderr` are log files; None for stderr: into stdout.
    """

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdout: Path,
        stderr: Path | None = None,
        stdin: Path | None = None,
        env: Mapping[str, str] | None = None,
        poll: Callable[[], str | None] | None = None,
    ) -> Finished: ...


@dataclass(frozen=True, slots=True)
class AgentWorkspace:
    """Where one session works, with its limits.

    `path` is the disposable clone; `environment` what the agent inherits; `logs` the task's log folder and
    `stem` the attempt's prefix in it (`attempt-1`); `timeout` and `stall_timeout` are seconds;
    `guard` is a file with the session's rules for `guard.session_settings`, for agents that can ask before an edit.
    """

    path: Path
    environment: Mapping[str, str]
    agent: AgentSettings
    logs: Path
    stem: str
    attempt: int
    timeout: float
    stall_timeout: float
    max_turns: int
    model: str | None
    budget_usd: float | None
    execute: Execute
    progress: Callable[[Progress], None]
    guard: Path | None = None

    @property
    def stream(self) -> Path:
        """The file for the agent's raw output."""
        return self.logs / f"{self.stem}.jsonl"


@dataclass(frozen=True, slots=True)
class AgentResult:
    """How a session ended. `failure` None: it says it is done, and the runner goes on to look at the files.

    A failure of kind AGENT is charged to the task; the limits and outages are not. `denials` are edits or
    commands that the session's permission rules or hooks refused, perhaps not all of them; `denied` is their number.
    """

    failure: Outcome | None = None
    session: str | None = None
    model: str | None = None
    cost_usd: float | None = None
    turns: int | None = None
    final_text: str = ""
    denials: tuple[str, ...] = ()
    denied: int = 0
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] | None = None
