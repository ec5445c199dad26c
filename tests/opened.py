"""A run opened in this process, for tests of its single steps; and what a repository looks like from outside."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_agenttasks import preflight
from pytest_agenttasks.agents.contract import AgentResult, AgentWorkspace, Prompt
from pytest_agenttasks.attempt import attempt
from pytest_agenttasks.attempt_record import Attempt
from pytest_agenttasks.outcome import Outcome
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.run import NoExtensions, Run, open_run
from pytest_agenttasks.settings.loading import load
from pytest_agenttasks.settings.records import FILE_NAME
from pytest_agenttasks.tasks.task import Task, read
from pytest_agenttasks.trees.repository import discover
from tests.user_repository import UserRepository, task_text

Agent = Callable[[AgentWorkspace], None]
"""What a session does: a function that is given the workspace."""


@dataclass
class Scripted(NoExtensions):
    """Extensions whose only agent, named `scripted`, is a function; `sessions` counts its calls."""

    agent: Agent
    sessions: int = 0

    def run_agent(self, task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
        self.sessions += 1
        self.agent(workspace)
        return AgentResult()

    def knows_agent(self, name: str) -> bool:
        return name == "scripted"


def append(workspace: AgentWorkspace) -> None:
    """The agent of most tests: one more line in `src/a.txt`."""
    with (workspace.path / "src/a.txt").open("a") as file:
        file.write(f"attempt {workspace.attempt}\n")


@contextmanager
def opened(repository: UserRepository, agent: Agent = append, **wanted: object) -> Iterator[Run]:
    """A run on this repository, with these settings committed to its agenttasks.yaml (none: as it is)."""
    if wanted:
        quiet = {"retry_delay": 0, "canary": "off", "sandbox": "none"}
        document = {"agent": {"name": "scripted"}, **quiet, **wanted}
        repository.commit("settings", **{"agenttasks.yaml": json.dumps(document)})
    found = discover(repository.path)
    file = repository.path / FILE_NAME
    queue = open_queue(found, repository.path / "tasks/pending")
    run = open_run(found, queue, load(file), file, Scripted(agent))
    try:
        yield run
    finally:
        run.close()


def attempt_task(
    run: Run,
    *failures: Outcome,
    name: str = "001-first",
    scope: tuple[str, ...] = ("src/a.txt",),
    front: str = "",
) -> Attempt:
    """One attempt of a task, from the preflight to the landing."""
    file = run.queue.pending / f"{name}.md"
    if not file.exists():
        file.write_text(task_text(f"Task {name}", scope, front))
    preflight.check(run, lambda line: None)
    return attempt(run, read(file), failures)


def outcome(
    run: Run, *failures: Outcome, scope: tuple[str, ...] = ("src/a.txt",), front: str = ""
) -> Outcome:
    """What became of one attempt of a task."""
    this = attempt_task(run, *failures, scope=scope, front=front)
    assert this.outcome is not None
    return this.outcome


def events(run: Run) -> list[str]:
    """The names of the run's events, in their order."""
    return [line.split()[1] for line in run.events.path.read_text().splitlines()]


def fingerprint(
    top: Path, *, but: Sequence[str] = (".git/objects", ".git/agenttasks", "tasks/logs")
) -> dict[str, str]:
    """Every file, link and folder below `top`: kind, mode, times and content; git's objects apart."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(top):
        here = os.path.relpath(folder, top)
        folders[:] = sorted(name for name in folders if os.path.normpath(os.path.join(here, name)) not in but)
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            key = os.path.normpath(os.path.join(here, name))
            if stat.S_ISLNK(status.st_mode):
                found[key] = f"-> {os.readlink(path)}"
            elif stat.S_ISDIR(status.st_mode):
                found[key] = "folder"
            elif not stat.S_ISREG(status.st_mode):
                found[key] = f"{status.st_mode:o}"
            else:
                found[key] = f"{status.st_mode:o} {status.st_ino} {status.st_mtime_ns} {path.read_bytes()!r}"
    return found
