"""Writing down what a person has looked at: in a bookkeeping commit where git tracks the queue, else in a private file."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence

from filelock import FileLock

from .approvals import FILE, Review, encode, git_path, parse
from .bookkeeping import Draft, keep_books
from .run import Run
from .state_file import put_for_good
from .trees.changes import Change
from .trees.composition import addition, write_blob
from .trees.objects import blob, entries
from .trees.repository import Repository


def who(repository: Repository) -> str:
    """The person at the keyboard, as git knows them."""
    known = repository.identity
    return f"{known.name} <{known.email}>" if known else f"{getpass.getuser()}@{socket.gethostname()}"


def record(run: Run, review: Review, subject: str) -> None:
    """Add one record. Raises SetupError where the file holds what is none, InTheWay and BranchMoved with nothing done."""
    if run.queue.tracked:
        keep_books(
            run, "agenttasks: review", lambda tree: Draft(record_changes(run, tree, [review]), subject)
        )
    else:
        record_privately(run.repository, [review])


def record_changes(run: Run, tree: str, reviews: Sequence[Review]) -> list[Change]:
    """What becomes of the file in `tree` with these records at its end."""
    path = git_path(run.queue)
    found = entries(run.shadow, tree, [path]).get(path)
    old = blob(run.shadow, found.object_id) if found is not None else b""
    new = write_blob(run.shadow, _appended(old, reviews, os.fsdecode(path)))
    if found is None:
        return [addition(path, new)]
    return [Change(path, found.mode, found.mode, found.object_id, new)]


def record_privately(repository: Repository, reviews: Sequence[Review]) -> None:
    """The same where the queue is not git's."""
    file = repository.home / FILE
    with FileLock(file.with_suffix(".lock")):
        old = file.read_bytes() if file.exists() else b""
        put_for_good(file, _appended(old, reviews, str(file)))


def _appended(old: bytes, reviews: Sequence[Review], where: str) -> bytes:
    tuple(parse(old, where))  # nothing is written behind what cannot be read
    end = b"" if old.endswith(b"\n") or not old else b"\n"
    return old + end + b"".join(map(encode, reviews))
