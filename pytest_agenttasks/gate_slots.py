"""How many sets of gates run at a time, over all runner processes of a repository (`gate_slots`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from .run import Run
from .turn import held, shown, taken


@contextmanager
def gate_slot(run: Run, task: str) -> Iterator[None]:
    """Held while gates run; shown while it is waited for, and Ctrl-C ends the wait. Without a limit nothing is held."""
    limit = run.settings.gate_slots
    if limit is None:
        yield
        return
    folder = run.repository.home / "gate-slots"
    folder.mkdir(exist_ok=True)
    with held(lambda: _free(folder, limit), shown(run, task, "waiting for a gate slot")):
        yield


def _free(folder: Path, limit: int) -> FileLock | None:
    """A slot that nobody held, now held."""
    tried = (taken(FileLock(folder / f"{number}.lock")) for number in range(limit))
    return next((lock for lock in tried if lock is not None), None)
