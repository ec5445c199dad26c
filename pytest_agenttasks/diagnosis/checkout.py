"""The checkout: may the branch be landed on, is anything uncommitted, can its settings and its queue be used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..base import memory_of, rules_of
from ..journal import Journal
from ..memory.upkeep import size_warning
from ..outcome import SetupError
from ..owner import lives
from ..processes.orphans import process_start_time
from ..queue import Queue, names, open_queue, task_files
from ..settings.loading import load
from ..settings.records import Settings
from ..tasks.lint import lint
from ..tasks.scope import Rules
from ..tasks.task import read
from ..trees.git import split
from ..trees.repository import Repository, discover
from ..trees.repository_checks import CHECKS, refuse_dirty
from .finding import Finding, Findings, fail, ok, refused, warn

_FINE: Mapping[str, str] = {
    "worktrees": "checked out here only",
    "content": "nothing that a workspace could not hold",
}


def repository(start: Path) -> Findings[Repository | None]:
    """The repository around `start`."""
    try:
        found = discover(start)
    except SetupError as error:
        yield refused("repository", error, "change into a git checkout")
        return None
    yield ok("repository", str(found.top))
    return found


def branch(found: Repository) -> Findings[str | None]:
    """What a run would refuse in this checkout; the commit it would start from, None where there is none."""
    for name, checks in CHECKS.items():
        failed = False
        for check in checks:
            try:
                check(found)
            except SetupError as error:
                failed = True
                yield refused(name, error, "see `git status`")
        if not failed:
            yield ok(name, _FINE.get(name) or _described(found, name))
    try:
        return found.tip()
    except SetupError:
        return None


def _described(found: Repository, name: str) -> str:
    if name == "identity" and found.identity is not None:
        return f"{found.identity.name} <{found.identity.email}>"
    return f"tasks land on {(found.branch() or '').removeprefix('refs/heads/')}"


def changes(found: Repository, queue: Queue | None) -> Iterator[Finding]:
    """Uncommitted changes of tracked files; those of the queue are the runner's own business."""
    try:
        refuse_dirty(found, queue.relative if queue is not None and queue.tracked else None)
    except SetupError as error:
        yield refused("changes", error, "commit or stash them")
    else:
        yield ok("changes", "nothing uncommitted in tracked files")


def settings(file: Path, overrides: Mapping[str, object]) -> Findings[Settings | None]:
    """The settings, None where they cannot be read or name no gate."""
    try:
        loaded = load(file, overrides)
    except SetupError as error:
        yield refused("settings", error, f"mend {file}")
        return None
    count = len(loaded.gates)
    if not file.is_file():
        yield fail(
            "settings", f"{file}: no such file", "`agenttasks init` writes one with the gates that it finds"
        )
    elif not count:
        remedy = "`agenttasks init` writes the gates that it finds, or add e.g. `gates: [{name: tests, run: npm test}]`"
        yield fail("settings", f"{file}: no gate, so nothing would be verified", remedy)
    else:
        yield ok("settings", f"{file.name}: {count} gate{'s' * (count != 1)}")
    return loaded


def queue(found: Repository, folder: Path) -> Findings[Queue | None]:
    """The queue at `folder`."""
    try:
        return open_queue(found, folder)
    except SetupError as error:
        yield refused("queue", error, "`agenttasks init` makes a queue")
        return None


def tasks(found: Repository, chosen: Settings, where: Queue, tip: str) -> Iterator[Finding]:
    """What lint says of the queue, in one line; a task that is refused stops no run."""
    try:
        memory = memory_of(found, tip, chosen.memory.file)
        rules = rules_of(chosen, where, memory)
    except SetupError as error:
        yield refused("memory", error, f"mend {chosen.memory.file}")
        return
    if warning := size_warning(chosen.memory.file, memory.text):
        text, _, remedy = warning.partition(": shorten")
        yield warn("memory", text, f"shorten{remedy}")
    errors, hints, count = _problems(found, where, tip, rules)
    text = f"{count} pending task{'s' * (count != 1)}, {errors} with errors, {hints} hint{'s' * (hints != 1)}"
    if errors:
        yield warn(
            "queue", text, "`agenttasks lint` tells each; a task with errors moves to failed/ unattempted"
        )
    elif not count:
        yield warn("queue", f"no task in {where.pending}", '`agenttasks new "Title" --scope PATH` writes one')
    else:
        yield ok("queue", text)


def _problems(found: Repository, where: Queue, tip: str, rules: Rules) -> tuple[int, int, int]:
    pending = [read(path) for path in task_files(where.pending)]
    listed = split(found.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", tip))
    told = lint(
        pending,
        done=names(where.done),
        failed=names(where.failed),
        base_paths=[os.fsdecode(path) for path in listed],
        rules=rules,
    )
    problems = [told.get(task.path, task.problems) for task in pending]
    errors = sum(any(not problem.hint for problem in of_task) for of_task in problems)
    return errors, sum(problem.hint for of_task in problems for problem in of_task), len(pending)


def last_run(found: Repository) -> Iterator[Finding]:
    """What a run that was killed has left behind; the next one mends it."""
    try:
        history = Journal(found.home / "journal.jsonl").history
    except SetupError as error:
        yield refused("last run", error, "move the journal away")
        return
    dead = [programs for owner, programs in history.programs.items() if not lives(owner)]
    left = [p.pid for programs in dead for p in programs if process_start_time(p.pid) == p.started]
    if left:
        which = ", ".join(map(str, left))
        yield warn(
            "last run", f"still running from it: process {which}", "nothing: the next run ends it first"
        )
    if history.forward is not None and not lives(history.forward.owner):
        yield warn(
            "last run",
            "it was killed while a task landed",
            "nothing: the next run finishes or undoes that first",
        )
