"""A run opened in this process, for tests of its single steps; and what a repository looks like from outside."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_agenttasks import settings
from pytest_agenttasks.agents.contract import AgentResult, AgentWorkspace, Prompt
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.repository import discover
from pytest_agenttasks.run import Run, open_run
from pytest_agenttasks.settings import GateSettings
from pytest_agenttasks.task import Task
from pytest_agenttasks.trees import Change
from tests.user_repository import UserRepository


class NoExtensions:
    """No plugin adds anything."""

    def run_agent(self, task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
        return None

    def prompt(self, task: Task, prompt: Prompt) -> Sequence[str]:
        return ()

    def gates(self, task: Task, gates: Sequence[GateSettings]) -> Sequence[GateSettings]:
        return ()

    def check_changes(self, task: Task, changes: Sequence[Change]) -> Sequence[str]:
        return ()

    def commit_message(self, task: Task, message: str) -> str | None:
        return None

    def knows_agent(self, name: str) -> bool:
        return False


@contextmanager
def opened(repository: UserRepository, text: str = "") -> Iterator[Run]:
    """A run on this repository with `text` as its agenttasks.yaml (committed, where there is any)."""
    if text:
        repository.commit("settings", **{"agenttasks.yaml": text})
    found = discover(repository.path)
    file = repository.path / settings.FILE_NAME
    queue = open_queue(found, repository.path / "tasks/pending")
    run = open_run(found, queue, settings.load(file), file, NoExtensions())
    try:
        yield run
    finally:
        run.close()


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
            else:
                found[key] = f"{status.st_mode:o} {status.st_ino} {status.st_mtime_ns} {path.read_bytes()!r}"
    return found
