"""Everything that is looked at before anything is spent. Each finding names the command that mends it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from filelock import FileLock, Timeout

from . import gates, landing, review_session, services
from .agents.registry import preflight as agent_preflight
from .agents.registry import unknown
from .base import memory_of, rules_of
from .bookkeeping import commit_queue, settle_all
from .journal import RunStarted
from .outcome import SetupError
from .processes import cgroup_tree, sandbox
from .processes.orphans import end_orphans
from .queue import Queue, ensure_folders
from .retrieval import store_unstored
from .run import Run, agent_environment, agent_files, named
from .trees import recipe_checks
from .trees.checkout import environment
from .trees.git import GitError
from .trees.repository import Repository
from .trees.repository_checks import refuse_dirty, refuse_unusable
from .trees.workspace import Role, place, state_folder

LOW_DISK = 200 * 1024 * 1024
"""Bytes that must be free where workspaces and attempts are kept."""


@contextmanager
def run_lock(repository: Repository, queue: Queue) -> Iterator[None]:
    """Held while a run goes on; raises SetupError naming the process that holds it already."""
    file = repository.home / "run.lock"
    owner = repository.home / "run.json"
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SetupError(
            f"{repository.top}: another run is using this repository ({_describe(owner)}); wait for it, or stop it with "
            "Ctrl-C in its terminal"
        ) from None
    try:
        owner.write_text(
            json.dumps({"pid": os.getpid(), "queue": str(queue.pending), "started": time.time()})
        )
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _describe(owner: Path) -> str:
    try:
        known = json.loads(owner.read_text())
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(known["started"]))
        return f"process {known['pid']}, queue {known['queue']}, since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process is not known"


@named("the run cannot start")
def check(run: Run, say: Callable[[str], None]) -> None:
    """Make sure that a run can start, after mending what a crashed one left. Raises SetupError."""
    for program in run.journal.history.programs:
        if end_orphans(program.pid, program.started):
            say(f"ended process {program.pid}, left over from a run that was killed")
    for told in run.programs.cgroups.clear():
        say(told)
    for role in get_args(Role):
        run.programs.end_left(place(run.shadow, role, run.worker))
    if line := store_unstored(run):
        say(line)
    for told in services.settle(run):
        say(told)
    try:
        line = landing.recover(run.shadow, run.journal)
    except landing.InTheWay as error:
        raise SetupError(
            f"{run.repository.top}: a landing of the last run cannot be finished: {error}"
        ) from error
    for told in [*filter(None, [line]), *settle_all(run)]:
        say(told)
    refuse_unusable(run.repository)
    refuse_dirty(run.repository, run.queue.relative if run.queue.tracked else None)
    _refuse_full_disk(run)
    if not gates.shell(run.settings.gates):
        raise SetupError(
            f"{run.settings_file}: no gate with `run`: nothing is verified; `agenttasks init` writes the gates it finds, or add "
            "e.g.\n  gates:\n    - {name: tests, run: npm test}"
        )
    tip = run.repository.tip()
    tree = run.repository.tree_of(tip)
    recipe_checks.refuse_unusable(run.provider, tree)
    rules_of(run.settings, run.queue, memory_of(run.shadow, tree, run.settings.memory.file))
    for line in sandbox.describe(run.programs.sandbox):
        say(line)
    if run.programs.cgroups.unheld:
        say(f"limits: {run.programs.cgroups.unheld}; to have them: {cgroup_tree.remedy()}")
    _check_agent(run, say)
    for line in review_session.preflight(run):
        say(line)
    agent_files(run, run.settings.agent)
    ensure_folders(run.queue)
    if committed := commit_queue(run):
        say(f"committed the queue's new and edited files as {committed[:10]}")
        tip = run.repository.tip()
        tree = run.repository.tree_of(tip)
    confined = run.programs.sandbox
    run.events.write(
        "sandbox", active="bwrap" if confined.active else "none", version=confined.version or None,
        reason=confined.reason or None,
    )  # fmt: skip
    run.journal.write(RunStarted(pid=os.getpid(), queue=run.queue.relative, branch=run.branch))
    red = gates.green_base(run, run.settings.gates, tree, tip)
    if red is not None:
        raise SetupError(gates.explain_red_base(run, red))


def _check_agent(run: Run, say: Callable[[str], None]) -> None:
    settings = run.settings.agent
    where = place(run.shadow, "agent", run.worker)
    found = environment(
        run.repository, where, os.environ, passed=agent_environment(run.settings), extra=settings.env
    )
    described = agent_preflight(settings, found.variables)
    if described is None:
        if not run.extensions.knows_agent(settings.name):
            raise SetupError(unknown(settings.name, run.agent_named_by))
    elif described:
        say(f"agent {settings.name}: {described}")


def _refuse_full_disk(run: Run) -> None:
    for folder in (run.repository.common_dir, state_folder(run.repository)):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < LOW_DISK:
            raise SetupError(f"{folder}: only {free // 1024 // 1024} MB free; make room before a run")


def landed_commit(run: Run, name: str) -> str | None:
    """The commit that landed this task and is still part of the branch, None when there is none."""
    landed = run.journal.history.landed.get(name)
    if landed is None:
        return None
    try:
        run.repository.git("merge-base", "--is-ancestor", landed.commit, "HEAD")
    except GitError:
        return None
    return landed.commit
