"""Agent workspaces for tests: real folders and the real supervisor, with everything reported kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_agenttasks.agents.contract import AgentWorkspace, Progress, Prompt
from pytest_agenttasks.processes.supervisor import Finished, Supervisor
from pytest_agenttasks.settings.records import AgentSettings
from pytest_agenttasks.tasks.task import Task

TASK = Task(
    name="001-hello", path=Path("tasks/pending/001-hello.md"), text="Say hello.", title="Hello", title_line=1
)


@dataclass
class Sessions:
    """Makes workspaces below one folder. `progress` holds what their agents reported."""

    folder: Path
    supervisor: Supervisor
    progress: list[Progress] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "workspace"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def workspace(
        self,
        agent: AgentSettings,
        environment: Mapping[str, str] | None = None,
        *,
        attempt: int = 1,
        timeout: float = 30,
        stall_timeout: float = 20,
        max_turns: int = 20,
        model: str | None = None,
        budget_usd: float | None = None,
    ) -> AgentWorkspace:
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.home), **(environment or {})}

        def execute(
            argv: Sequence[str],
            *,
            stdout: Path,
            stderr: Path | None = None,
            stdin: Path | None = None,
            env: Mapping[str, str] | None = None,
            poll: Callable[[], str | None] | None = None,
        ) -> Finished:
            finished = self.supervisor.run(
                argv,
                cwd=self.path,
                env=variables if env is None else env,
                stdout=stdout,
                stderr=stderr,
                stdin=stdin,
                timeout=timeout,
                max_output=64 * 1024 * 1024,
                poll=poll,
            )
            self.finished.append(finished)
            return finished

        return AgentWorkspace(
            path=self.path,
            environment=variables,
            agent=agent,
            logs=self.logs,
            stem=f"attempt-{attempt}",
            attempt=attempt,
            timeout=timeout,
            stall_timeout=stall_timeout,
            max_turns=max_turns,
            model=model,
            budget_usd=budget_usd,
            execute=execute,
            progress=self.progress.append,
        )

    def prompt(self, text: str = "Say hello.") -> Prompt:
        file = self.logs / "attempt-1.prompt.md"
        file.write_text(text, encoding="utf-8")
        return Prompt(text, file)

    def script(self, name: str, text: str) -> Path:
        """An executable shell script in the folder `bin`."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return path


@pytest.fixture
def agent_sessions(tmp_path: Path) -> Iterator[Sessions]:
    """A workspace, a log folder and a home, all empty, and a supervisor of their own."""
    with Supervisor() as supervisor:
        sessions = Sessions(tmp_path, supervisor)
        for folder in (sessions.path, sessions.logs, sessions.home):
            folder.mkdir()
        yield sessions
