"""Moving the branch and the user's checkout forward: from one commit to the next, or not at all.

The order of the steps is what makes a kill at any moment harmless; `docs/how-it-works.md` gives the reasons.
The user's files are only ever replaced where they equal the old commit.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from psutil import pid_exists

from .held_signals import uninterrupted
from .journal import Journal
from .journal_records import Forward, Forwarded, Withdrawn
from .left_by_git import remove_ref_locks, wait_for_landing
from .outcome import SetupError
from .trees.composition import diff
from .trees.git import GitError
from .trees.handover import send
from .trees.repository import Repository
from .trees.shadow import Shadow
from .user_checkout import BranchMoved as BranchMoved
from .user_checkout import InTheWay as InTheWay
from .user_checkout import check as check
from .user_checkout import repair, take_up

INDEX_LOCK_WAIT = 20.0
"""Seconds to wait for the user's index lock: editors and other git commands hold it briefly."""


def advance(
    shadow: Shadow,
    journal: Journal,
    *,
    branch: str,
    old: str,
    new: str,
    why: str,
    on_disk: Collection[bytes] = (),
    beside: Callable[[], None] = lambda: None,
) -> None:
    """Move `branch` and the user's checkout from commit `old` to `new`.

    `on_disk` are paths whose files already are as `new` has them (edited task files); `beside` begins other work, when what
    is left to do here is git's. Raises BranchMoved or InTheWay, with nothing changed.
    """
    repository = shadow.repository
    on_disk = frozenset(on_disk)
    repository.hold_filters()
    send(shadow, new, old)
    changes = diff(shadow, old, new)
    token = uuid.uuid4().hex
    copy = _copy_name(repository)
    with FileLock(repository.home / "landing.lock"), uninterrupted():
        journal.refresh()
        _mend(shadow, journal)  # what a process that was killed has left: nobody else is here
        # Before the lock: a kill must never leave one that the next start does not know as ours.
        journal.write(Forward(old=old, new=new, branch=branch, lock=token, top=str(repository.top)))
        try:
            _lock_index(repository, token)
            _copy_index(repository, copy)
            check(repository, copy, branch, old, changes, on_disk)
            take_up(repository, copy, new, on_disk)
            beside()
            try:
                repository.git("update-ref", "--create-reflog", "-m", why, branch, new, old)
            except GitError as error:
                if repository.branch() != branch or repository.tip() != old:
                    raise BranchMoved(str(error)) from error
                raise InTheWay(
                    [_short(branch)], f"git cannot move the branch ({error.stderr.strip()})"
                ) from error
        except BaseException:
            copy.unlink(missing_ok=True)
            _unlock(repository, token)
            journal.write(Withdrawn(new=new))
            raise
        try:
            try:
                repository.git("read-tree", "-m", "-u", old, new, index=copy)
            except GitError:
                # Somebody wrote into the checkout between the check and now, and the branch has moved already.
                repair(shadow, copy, new, changes)
            copy.replace(repository.git_dir / "index")
        finally:  # where it cannot be mended the user has to, with a git that is not locked
            copy.unlink(missing_ok=True)
            _unlock(repository, token)
        journal.write(Forwarded(new=new))


@contextmanager
def between_landings(shadow: Shadow, journal: Journal) -> Iterator[str | None]:
    """While no landing goes on, and none is half-way: what is read of branch, index and checkout fits together. Yields what
    `recover` returns."""
    with FileLock(shadow.repository.home / "landing.lock"):
        journal.refresh()
        line = None
        if journal.history.forward is not None:
            with uninterrupted():
                line = _mend(shadow, journal)
        yield line


def recover(shadow: Shadow, journal: Journal) -> str | None:
    """Finish or undo a forward that a crash cut short; returns a line for the user, None when there was none.

    Raises SetupError naming the paths that are neither old, new, absent nor a part of new, and InTheWay when
    another process holds the index lock.
    """
    with FileLock(shadow.repository.home / "landing.lock"), uninterrupted():
        journal.refresh()
        return _mend(shadow, journal)


def _clear_copies(repository: Repository) -> None:
    """Remove the copies of the index that the dead have left. To be called under the landing lock."""
    for left in repository.git_dir.glob("index.agenttasks-*"):
        if not _in_use(left.name):
            left.unlink()


def _in_use(name: str) -> bool:
    """Whether a living process works with this copy of the index: only those for the queue exist outside a landing."""
    found = re.match(r"index\.agenttasks-queue-(\d+)", name)
    return found is not None and int(found[1]) != os.getpid() and pid_exists(int(found[1]))


def _mend(shadow: Shadow, journal: Journal) -> str | None:
    """`recover`, under the landing lock: whoever had begun the forward is dead, or has given it up."""
    record = journal.history.forward
    repository = shadow.repository
    _clear_copies(repository)
    if record is None:
        return None
    if record.top not in ("", str(repository.top)) and Path(record.top).is_dir():
        raise SetupError(
            f"{record.top}: a landing there was cut short by a kill, and only there it can be finished: start a run in that "
            "checkout (`agenttasks run`, also without a task), then try again here"
        )
    wait_for_landing(repository)
    _unlock(repository, record.lock)
    remove_ref_locks(repository, record.branch, record.new, record.at)
    tip = _tip_of(repository, record.branch)
    if tip == record.old:
        journal.write(Withdrawn(new=record.new))
        return f"a landing had not begun when the last run ended; {_short(record.branch)} is at {tip[:10]}"
    if tip != record.new or repository.branch() != record.branch:
        journal.write(Forwarded(new=record.new))
        return (
            f"the last run ended in the middle of a landing and {_short(record.branch)} has moved since; nothing was "
            "repaired: compare `git status` with what you expect"
        )
    copy = _copy_name(repository)
    # With the token that is journaled already, for a kill in here.
    _lock_index(repository, record.lock)
    try:
        _copy_index(repository, copy)
        repair(shadow, copy, record.new, diff(shadow, record.old, record.new))
        copy.replace(repository.git_dir / "index")
    finally:
        copy.unlink(missing_ok=True)
        _unlock(repository, record.lock)
    journal.write(Forwarded(new=record.new))
    return f"finished the landing of {record.new[:10]} that the last run was in the middle of"


def _tip_of(repository: Repository, branch: str) -> str:
    """The commit of a branch, "" when it is gone."""
    return repository.git("rev-parse", "-q", "--verify", branch, accept=(0, 1)).decode().strip()


def _short(branch: str) -> str:
    return branch.removeprefix("refs/heads/")


def _copy_name(repository: Repository) -> Path:
    return repository.git_dir / f"index.agenttasks-{os.getpid()}"


def _lock_index(repository: Repository, token: str) -> None:
    """Create the user's `index.lock`, holding `token`, in one step. Raises InTheWay when it stays another's."""
    file = repository.git_dir / "index.lock"
    own = repository.git_dir / f"index.agenttasks-lock-{os.getpid()}"
    with own.open("w") as stream:  # flushed: after a power failure an empty lock would be nobody's
        stream.write(token)
        stream.flush()
        os.fsync(stream.fileno())
    deadline = time.monotonic() + INDEX_LOCK_WAIT
    try:
        while True:
            try:
                os.link(own, file)
                return
            except FileExistsError:
                if time.monotonic() > deadline:
                    raise InTheWay(
                        [str(file)],
                        "another git process holds the index lock (if none is running, a crashed one left it: remove it)",
                    ) from None
                time.sleep(0.05)
    finally:
        own.unlink()


def _unlock(repository: Repository, token: str) -> None:
    """Remove the index lock if it is ours."""
    file = repository.git_dir / "index.lock"
    try:
        if file.read_bytes() == token.encode():
            file.unlink()
    except FileNotFoundError:
        return


def _copy_index(repository: Repository, copy: Path) -> None:
    """A private copy with the same time stamp: with a newer one git would miss edits made within the second."""
    shutil.copy2(repository.git_dir / "index", copy)
