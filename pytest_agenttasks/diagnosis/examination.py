"""The examination: every check in an order that makes sense, going on after a failed one wherever that tells more."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..outcome import SetupError
from ..queue import Queue
from ..run import NoExtensions, Run, open_run
from ..runs import run_lock
from ..settings.loading import load
from ..settings.records import FILE_NAME, Settings
from ..trees.git import GitError
from ..trees.places import state_folder
from ..trees.repository import Repository
from . import base, checkout, containment, machine
from .agent import agent
from .finding import Finding, Findings, Level, refused, warn

DEFAULT_QUEUE = "tasks/pending"
ANY_BRANCH = "refs/heads/agents/queue"
"""What a clean checkout shows as checked out where HEAD is detached: that is a finding of its own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to examine: the repository around `start`, for `workers` agents at once.

    `overrides` are settings of the command line; `tell` is given a line about what takes long.
    """

    start: Path
    queue: Path | None = None
    settings_file: Path | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    workers: int = 1
    tell: Callable[[str], None] = lambda _: None


def examine(asked: Asked) -> Iterator[Finding]:
    """Every finding, as it is found. Only the runner's own folders are written to."""
    version = machine.git_version()
    yield version
    yield machine.system()
    found = (yield from checkout.repository(asked.start)) if version.level is Level.OK else None
    if found is None:
        with suppress(SetupError):  # of an option: said where there is a repository
            yield from agent(load(Path(os.devnull), asked.overrides))
        return
    told: set[str] = set()
    try:
        for finding in _examine(asked, found):
            if finding.level is not Level.FAIL or finding.text not in told:  # several need the branch, say
                yield finding
            told.add(finding.text)
    except (SetupError, GitError, OSError) as error:
        remedy = "see that the files can be read; `git fsck` looks for damage"
        yield refused("repository", SetupError(str(error)), remedy)


def _examine(asked: Asked, found: Repository) -> Iterator[Finding]:
    tip = yield from checkout.branch(found)
    queue = (yield from checkout.queue(found, asked.queue or found.top / DEFAULT_QUEUE)) if tip else None
    if tip:
        yield from checkout.changes(found, queue)
    file = asked.settings_file or found.top / FILE_NAME
    settings = yield from checkout.settings(file, asked.overrides)
    known = settings or Settings()
    if queue and tip:
        yield from checkout.tasks(found, known, queue, tip)
    yield from checkout.last_run(found)
    if settings:
        yield from agent(settings)
    yield from containment.sandbox(known)
    with ExitStack() as stack:
        run = None
        if settings and settings.gates and tip:
            run = yield from _open(asked, found, settings, file, queue, stack)
        if run and tip:
            yield from _on_the_base(run, tip)
        elif tip:
            yield warn("gate", "not run, for what is said above", "mend that, then ask again")
        size, files = base.size_of_workspace(found, tip, run) if tip else (0, 0)
        bare = base.size_of_bare_places(found, tip, known) if tip else (0, 0)
        yield from machine.disk((state_folder(found), found.common_dir), size, files, asked.workers, bare)


def _open(
    asked: Asked, found: Repository, settings: Settings, file: Path, queue: Queue | None, stack: ExitStack
) -> Findings[Run | None]:
    """A run with its lock, for the workspaces are its own; None where one is going on, or cannot be opened."""
    home = found.home / "doctor"
    queue = queue or Queue(pending=home / "pending", relative="tasks", tracked=False)

    def heard(event: dict[str, Any]) -> None:
        if event["event"] == "gate-started":
            asked.tell(f"gate {event['gate']}: {event['run']} …")

    branch = found.branch() or ANY_BRANCH
    try:
        stack.enter_context(run_lock(found, queue))
        run = open_run(found, queue, settings, file, NoExtensions(), listeners=[heard], branch=branch)
    except SetupError as error:
        yield refused("run", error, "mend that, then ask again")
        return None
    stack.callback(run.close)
    return run


def _on_the_base(run: Run, tip: str) -> Generator[Finding, None, None]:
    tree = run.repository.tree_of(tip)
    try:
        if not (yield from base.recipe(run, tree)):
            return
        green = yield from base.gates_on(run, tree, tip)
    except (SetupError, GitError, OSError) as error:
        yield refused("gate", SetupError(str(error)), "mend that, then ask again")
        return
    yield from base.missing(run, green=green)
    if green:
        yield from containment.canary(run)
