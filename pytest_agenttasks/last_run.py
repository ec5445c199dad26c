"""How the last run of a queue ended, for whoever starts the next one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from .queue import Queue
from .state_file import load, save
from .trees.repository import Repository


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is pytest's, None while the run goes on, or where it was killed; `began` is epoch seconds.

    `stopped` says by what it was stopped: `review`, `budget`, `time`, `interrupted`, `setup`, an outcome such as
    `usage-limit`, or `other`; None where nothing did. `why` is the sentence that the user has seen.
    """

    pid: int
    began: float
    status: int | None = None
    stopped: str | None = None
    why: str | None = None
    landed: int = 0


def key(queue: Queue) -> str:
    """The queue's name among the runner's own files."""
    return hashlib.sha256(os.fsencode(queue.pending)).hexdigest()[:16]


def last_run(repository: Repository, queue: Queue) -> LastRun | None:
    """What is known of the run that was started last."""
    return load(_file(repository, queue), LastRun)


def write_down(repository: Repository, queue: Queue, known: LastRun) -> None:
    save(_file(repository, queue), known)


def _file(repository: Repository, queue: Queue) -> Path:
    return repository.home / "runs" / f"{key(queue)}.last.json"
