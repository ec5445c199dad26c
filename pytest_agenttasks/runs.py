"""Which runs go on in this repository: one at a time on each queue, and all of them in the same checkout."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .last_run import key
from .outcome import SetupError
from .queue import Queue
from .trees.repository import Repository


@contextmanager
def run_lock(repository: Repository, queue: Queue) -> Iterator[None]:
    """Held while a run goes on; raises SetupError naming the process that is in the way: one that runs the same queue,
    or one in another worktree, whose checkout and branch are others."""
    folder = repository.home / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    name = key(queue)
    owner = folder / f"{name}.json"
    lock = FileLock(folder / f"{name}.lock")
    with _nobody_starts(repository):
        for other, known in _held(folder):
            if other == name or known.get("top") not in (None, str(repository.top)):
                raise SetupError(
                    f"{repository.top}: another run is using this repository ({_describe(known)}); wait for it, or stop it "
                    "with Ctrl-C in its terminal"
                )
        lock.acquire(timeout=0)
        facts = {"pid": os.getpid(), "queue": str(queue.pending), "started": time.time()}
        owner.write_text(json.dumps({**facts, "top": str(repository.top)}))
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def going_on(repository: Repository) -> list[dict[str, Any]]:
    """What is known of each run that goes on now: its `pid`, `queue`, and when it `started` (epoch seconds)."""
    folder = repository.home / "runs"
    if not folder.is_dir():
        return []
    with _nobody_starts(repository):
        return [known for _, known in _held(folder)]


def _nobody_starts(repository: Repository) -> FileLock:
    """Whether a lock is held can only be found out by taking it."""
    return FileLock(repository.home / "runs" / "starting.lock", poll_interval=0.01)


def _held(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.glob("*.lock")):
        if file.name == "starting.lock":
            continue
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield file.stem, _known(file.with_suffix(".json"))
        else:
            lock.release()


def _known(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _describe(known: dict[str, Any]) -> str:
    try:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(known["started"]))
        return f"process {known['pid']}, queue {known['queue']}, since {since}"
    except (KeyError, TypeError):
        return "its process is not known"
