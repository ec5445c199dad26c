"""The report that lies beside a failed task's file, and where it goes when the task is queued again or has landed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .journal_records import Passed
from .outcome import Outcome
from .queue import REPORT, Queue
from .report.failure import failure_report
from .report.recorded import recorded
from .run import Run
from .trees.attempts import kept
from .trees.composition import diff
from .trees.git import GitError
from .trees.objects import blob, entries


def report_of(run: Run, name: str, given_up: Outcome | None = None) -> str:
    """What there is to tell of a task's attempts. Never raises for one that is lost: then less is told."""
    return failure_report(
        name,
        recorded(run.queue.logs / name),
        given_up=given_up,
        changed=lambda number: _changed(run, name, number),
        logs=f"{run.queue.relative}/logs/{name}",
    )


def _changed(run: Run, name: str, number: int) -> Sequence[str]:
    """What an attempt changed, a line a path; nothing where its files or its base are gone."""
    base = run.journal.history.bases.get((name, number))
    try:
        tree = kept(run.shadow, f"refs/attempts/{name}/{number}")
        changes = diff(run.shadow, run.repository.tree_of(base), tree) if base and tree else ()
    except GitError:
        return ()
    return [f"{change.name} ({change.verb})" for change in changes]


def put_away(queue: Queue, name: str) -> Path | None:
    """Move a failed task's report to its logs; where it is now, None where there is none."""
    file = queue.failed / f"{name}{REPORT}.md"
    if not file.is_file() or file.is_symlink():
        return None
    target = archive(queue, name, file.read_bytes())
    file.unlink()
    return target


def archive(queue: Queue, name: str, data: bytes) -> Path:
    """A report among the task's logs; one that is there already is not written again."""
    folder = queue.logs / name
    folder.mkdir(parents=True, exist_ok=True)
    number, target = 1, folder / "report.md"
    while os.path.lexists(target):
        if target.is_file() and target.read_bytes() == data:
            return target
        number += 1
        target = folder / f"report-{number}.md"
    target.write_bytes(data)
    return target


def put_away_report(run: Run, passed: Passed) -> None:
    """Put the report of a task that has landed away: its file, or what the landing has taken out of the branch."""
    put_away(run.queue, passed.task)
    if not passed.tracked:
        return
    path = run.queue.git_path("failed", f"{passed.task}{REPORT}")
    if found := entries(run.shadow, run.tree_of(passed.old), [path]).get(path):
        archive(run.queue, passed.task, blob(run.shadow, found[1]))
