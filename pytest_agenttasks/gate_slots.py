"""How many sets of gates run at a time, over all runner processes of a repository (`gate_slots`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .processes.lifeline import TICK
from .run import Run
from .turn import LOOK, shown


@contextmanager
def gate_slot(run: Run, task: str) -> Iterator[None]:
    """Held while gates run; shown while it is waited for, and Ctrl-C ends the wait. Without a limit nothing is held."""
    limit = run.settings.gate_slots
    if limit is None:
        yield
        return
    folder = run.repository.home / "gate-slots"
    folder.mkdir(exist_ok=True)
    waiting = shown(run, task, "waiting for a gate slot")
    due = 0.0
    while (lock := _free(folder, limit)) is None:
        if (now := time.monotonic()) >= due:
            due = now + TICK
            waiting()
        time.sleep(LOOK)
    try:
        yield
    finally:
        lock.release()


def _free(folder: Path, limit: int) -> FileLock | None:
    for number in range(limit):
        lock = FileLock(folder / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock
    return None
