"""Who works on which files: two processes never hold attempts with overlapping scopes at the same time.

A claim is a small file with a ticket; it waits for every overlapping one with a lower ticket. So it is first come, first
served, and nobody waits in a circle. A claim whose process is dead counts for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock

from .owner import lives, pid_of
from .processes.lifeline import TICK
from .run import Run
from .state_file import load, save
from .tasks.patterns import may_meet
from .tasks.task import Task
from .turn import LOOK, shown


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """`scope` are its patterns; `queue` is the folder of its pending tasks, for people."""

    ticket: int
    owner: str
    task: str
    queue: str
    scope: tuple[str, ...]

    def overlaps(self, other: Claim) -> bool:
        """Also where only the names are the same: the journal knows a task by its name."""
        return self.task == other.task or any(may_meet(a, b) for a in self.scope for b in other.scope)


@contextmanager
def claimed(run: Run, task: Task) -> Iterator[None]:
    """Hold the task's scope. Waits, shown and interruptible, while a process that came before holds files of it."""
    folder = run.repository.home / "claims"
    folder.mkdir(exist_ok=True)
    file = folder / f"{run.owner.replace('/', '-')}.json"
    with FileLock(folder / "claims.lock", poll_interval=LOOK):
        ticket = 1 + max((claim.ticket for claim in _others(folder, run.owner)), default=0)
        mine = Claim(
            ticket=ticket,
            owner=run.owner,
            task=task.name,
            queue=str(run.queue.pending),
            scope=tuple(entry.pattern for entry in task.scope),
        )
        save(file, mine)
    try:
        _wait(run, folder, mine)
        yield
    finally:
        file.unlink(missing_ok=True)


def _wait(run: Run, folder: Path, mine: Claim) -> None:
    waiting, last, due = shown(run, mine.task, ""), None, 0.0
    while (before := _before(folder, mine)) is not None:
        if before != last:
            last = before
            step = f"waiting for {before.task} of process {pid_of(before.owner)} (queue {before.queue})"
            waiting = shown(run, mine.task, step)
        if (now := time.monotonic()) >= due:
            due = now + TICK
            waiting()
        time.sleep(LOOK)


def _before(folder: Path, mine: Claim) -> Claim | None:
    """A claim that has to end first."""
    others = (other for other in _others(folder, mine.owner) if other.ticket < mine.ticket)
    return next((other for other in others if mine.overlaps(other)), None)


def _others(folder: Path, owner: str) -> list[Claim]:
    """The claims of other living processes; those of dead ones are taken away."""
    found = []
    for file in folder.glob("*.json"):
        claim = load(file, Claim)
        if claim is None or claim.owner == owner:
            continue
        if lives(claim.owner):
            found.append(claim)
        else:
            file.unlink(missing_ok=True)
    return found
