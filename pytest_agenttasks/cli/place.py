"""Where a verb works: the repository around the current folder, and its queue."""

from __future__ import annotations

from pathlib import Path

from ..queue import Queue, open_queue
from ..trees.repository import Repository, discover
from .new import DEFAULT_QUEUE


def open_place(queue: Path | None) -> tuple[Repository, Queue]:
    """The repository and its queue (`tasks/pending` of the top folder unless named). Raises SetupError."""
    repository = discover(Path.cwd())
    return repository, open_queue(repository, queue or repository.top / DEFAULT_QUEUE)
