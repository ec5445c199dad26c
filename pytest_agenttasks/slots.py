"""Worker slots: the numbers by which the workspaces of several runner processes on one repository are told apart.

A slot is held by a file lock for as long as its process lives, so that two runs, or a worker and the one that replaces it,
never share a workspace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

MOST = 1024
"""More processes than this on one repository are a mistake."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A number that is this process's until `release`, or until it ends."""

    number: int
    _lock: FileLock

    def release(self) -> None:
        self._lock.release()


def claim(folder: Path) -> Slot:
    """The lowest slot that no living process holds; `folder` keeps the locks."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MOST):
        lock = _try(folder, number)
        if lock is not None:
            return Slot(number, lock)
    raise OSError(f"{folder}: {MOST} runner processes are using this repository")


def alone(folder: Path, slot: Slot) -> bool:
    """Whether no other process holds a slot. Probing takes each free one for a moment: only while none can be claimed."""
    for file in folder.glob("*.lock"):
        if file.stem.isdecimal() and int(file.stem) != slot.number:
            lock = _try(folder, int(file.stem))
            if lock is None:
                return False
            lock.release()
    return True


def held(folder: Path) -> set[int]:
    """The slots that living processes hold; as `alone`, only while none can be claimed."""
    found = set()
    for file in folder.glob("*.lock"):
        if file.stem.isdecimal():
            lock = _try(folder, int(file.stem))
            if lock is None:
                found.add(int(file.stem))
            else:
                lock.release()
    return found


def _try(folder: Path, number: int) -> FileLock | None:
    lock = FileLock(folder / f"{number}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock
