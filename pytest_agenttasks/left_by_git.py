"""What git leaves where it is killed together with the runner (a machine that is switched off, a stopped container), and
a git that outlives a runner which was killed alone: locks, and a step of a landing that still goes on."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from .trees.repository import Repository

_MOVING = ("update-ref", "read-tree", "update-index", "checkout-index")
"""The commands of git that a landing changes something with."""
PATIENCE = 30.0
"""Seconds that a git of a killed runner gets to end what it does; it is not asked to hurry, for it may be half-way."""
_BRIEFLY = 1.0
"""Seconds; git holds the lock of a ref for a few milliseconds."""


def wait_for_landing(repository: Repository) -> None:
    """Return when no git of a landing works on this checkout any more. To be called under the landing lock."""
    # The runner's own are known by their settings: nobody else uses that file.
    own = {
        "GIT_CONFIG_GLOBAL": str(repository.home / "user.gitconfig"), "GIT_WORK_TREE": str(repository.top),
    }  # fmt: skip
    _wait_for(_orphans(own, _MOVING))


def free_index(index: Path) -> None:
    """Make an index of the private repository usable again. For whoever holds the slot that it belongs to."""
    lock = index.with_name(f"{index.name}.lock")
    if lock.exists():
        _wait_for(_orphans({"GIT_INDEX_FILE": str(index)}, ()))
        lock.unlink(missing_ok=True)


def _wait_for(orphans: Iterator[psutil.Process]) -> None:
    deadline = time.monotonic() + PATIENCE
    for process in orphans:
        with suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
            process.wait(max(0.0, deadline - time.monotonic()))
            continue
        with suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait(_BRIEFLY)


def _orphans(own: Mapping[str, str], commands: Collection[str]) -> Iterator[psutil.Process]:
    """The gits that have these variables and run one of these commands (none: any)."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] != "git":
            continue
        with suppress(psutil.Error):
            words, variables = process.cmdline(), process.environ()
            if commands and not set(commands) & set(words):
                continue
            if own.items() <= variables.items() and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def remove_ref_locks(repository: Repository, branch: str, new: str, since: float) -> None:
    """Remove the locks that a git which was to move `branch` to `new` has left, after `since` (epoch seconds).

    One that was there before, holds something else or goes away by itself is another's.
    """
    ours = {
        repository.common_dir / f"{branch}.lock": ("", f"{new}\n"),
        repository.git_dir / "HEAD.lock": ("",),
    }
    left = {file: _look(file) for file, texts in ours.items() if _is_ours(file, texts, since)}
    deadline = time.monotonic() + _BRIEFLY
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {file: known for file, known in left.items() if _look(file) == known}
    for file in left:
        file.unlink(missing_ok=True)


def _is_ours(file: Path, texts: tuple[str, ...], since: float) -> bool:
    try:
        # A file system may keep whole seconds only.
        return file.stat().st_mtime >= since - 1.0 and file.read_text(errors="replace") in texts
    except OSError:
        return False


def _look(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
