"""Moving the branch and the user's checkout forward: from one commit to the next, or not at all.

The order of the steps is what makes a kill at any moment harmless; `docs/how-it-works.md` gives the reasons.
The user's files are only ever replaced where they equal the old commit.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from .journal import Forward, Forwarded, Journal, Withdrawn
from .outcome import SetupError
from .trees.changes import Change, parents
from .trees.git import GitError, split
from .trees.repository import Repository
from .trees.shadow import Shadow, diff, send

INDEX_LOCK_WAIT = 20.0
"""Seconds to wait for the user's index lock: editors and other git commands hold it briefly."""


class BranchMoved(Exception):
    """The branch is not (or no longer) where the new commit was built on."""


class InTheWay(Exception):
    """The user's checkout has something at a path that would change. `paths` are for people."""

    def __init__(self, paths: Sequence[str], what: str) -> None:
        shown = ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
        super().__init__(f"{what}: {shown}")
        self.paths = tuple(paths)


def advance(
    shadow: Shadow,
    journal: Journal,
    *,
    branch: str,
    old: str,
    new: str,
    why: str,
    on_disk: Collection[bytes] = (),
) -> None:
    """Move `branch` and the user's checkout from commit `old` to `new`.

    `on_disk` are paths whose files already are as `new` has them (edited task files). Raises BranchMoved or
    InTheWay, with nothing changed.
    """
    repository = shadow.repository
    on_disk = frozenset(on_disk)
    send(shadow, new, old)
    changes = diff(shadow, old, new)
    token = uuid.uuid4().hex
    copy = _copy_name(repository)
    with FileLock(repository.home / "landing.lock"), uninterrupted():
        # Before the lock: a kill must never leave one that the next start does not know as ours.
        journal.write(Forward(old=old, new=new, branch=branch, lock=token))
        try:
            _lock_index(repository, token)
            _copy_index(repository, copy)
            _check(repository, copy, branch, old, changes, on_disk)
            _take_up(repository, copy, new, on_disk)
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
            repository.git("read-tree", "-m", "-u", old, new, index=copy)
        except GitError:
            # Somebody wrote into the checkout between the check and now, and the branch has moved already.
            _repair(shadow, copy, new, changes)
        copy.replace(repository.git_dir / "index")
        _unlock(repository, token)
        journal.write(Forwarded(new=new))


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and its like back until a forward is whole; what came meanwhile is delivered on leaving.

    Blocked as well as handled: git processes started meanwhile inherit the mask, and a signal that another
    thread takes would be handled in this one all the same.
    """
    received: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for stop in STOP_SIGNALS:
            handlers[stop] = signal.signal(stop, lambda number, _: received.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if received:
            signal.raise_signal(received[0])


def recover(shadow: Shadow, journal: Journal) -> str | None:
    """Finish or undo a forward that a crash cut short; returns a line for the user, None when there was none.

    Raises SetupError naming the paths that are neither old, new, absent nor a part of new, and InTheWay when
    another process holds the index lock.
    """
    record = journal.history.forward
    repository = shadow.repository
    with FileLock(repository.home / "landing.lock"), uninterrupted():
        for left in repository.git_dir.glob("index.agenttasks-*"):
            left.unlink()
        if record is None:
            return None
        _unlock(repository, record.lock)
        tip = _tip_of(repository, record.branch)
        if tip == record.old:
            journal.write(Withdrawn(new=record.new))
            return (
                f"a landing had not begun when the last run ended; {_short(record.branch)} is at {tip[:10]}"
            )
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
            _repair(shadow, copy, record.new, diff(shadow, record.old, record.new))
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
    own.write_text(token)
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
    repository.git("update-index", "-q", "--refresh", index=copy, accept=(0, 1))


def _take_up(repository: Repository, copy: Path, new: str, on_disk: Collection[bytes]) -> None:
    """Put files that are already as `new` has them into the index copy. Raises InTheWay when one is not."""
    if not on_disk:
        return
    repository.git(
        "update-index",
        "--add",
        "--remove",
        "-z",
        "--stdin",
        stdin=b"".join(p + b"\0" for p in on_disk),
        index=copy,
    )
    paths = [os.fsdecode(path) for path in on_disk]
    different = split(
        repository.git("diff-index", "--cached", "-z", "--name-only", new, "--", *paths, index=copy)
    )
    if different:
        raise InTheWay(_names(different), "changed again in this moment")


def _check(
    repository: Repository,
    copy: Path,
    branch: str,
    old: str,
    changes: Sequence[Change],
    on_disk: Collection[bytes],
) -> None:
    """Raise BranchMoved or InTheWay unless every path of `changes` is, in index and checkout, as `old` has it."""
    if repository.branch() != branch:
        raise BranchMoved(f"the checkout is no longer on {branch}")
    if repository.tip() != old:
        raise BranchMoved(f"{branch} is no longer at {old[:10]}")
    edited, flagged = _edited(repository, copy, [change for change in changes if change.path not in on_disk])
    if edited:
        raise InTheWay(_names(edited), "your uncommitted changes are in the way")
    if flagged:
        raise InTheWay(
            _names(flagged), "marked assume-unchanged or skip-worktree, so your edits there cannot be seen"
        )
    top = os.fsencode(repository.top)
    ours = {change.path for change in changes}
    going = {change.path for change in changes if change.deleted}
    for change in changes:
        if change.path in on_disk:
            continue
        blocked = _blocked_above(top, change.path, going)
        if blocked is not None:
            raise InTheWay(
                _names([blocked]), "a file or a symbolic link of yours is where a folder of the change is"
            )
        if (
            change.added
            and _stands(top, change.path, going)
            and not _holds_only(top + b"/" + change.path, ours, top)
        ):
            raise InTheWay([change.name], "an untracked or ignored file of yours is in the way")


def _blocked_above(top: bytes, path: bytes, going: Collection[bytes]) -> bytes | None:
    """The first folder above `path` that is something else on disk, unless this change takes it away."""
    for parent in parents(path):
        try:
            mode = os.lstat(top + b"/" + parent).st_mode
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(mode):
            return None if parent in going else parent
    return None


def _stands(top: bytes, path: bytes, going: Collection[bytes]) -> bool:
    """Whether something is at `path`, not looking through what this change takes away."""
    for parent in parents(path):
        if parent in going:
            return False
    return os.path.lexists(top + b"/" + path)


def _holds_only(place: bytes, ours: Collection[bytes], top: bytes) -> bool:
    """Whether `place` is a folder with nothing in it but folders and paths of the change."""
    if not stat.S_ISDIR(os.lstat(place).st_mode):
        return False
    pending = [place]
    while pending:
        with os.scandir(pending.pop()) as scan:
            for entry in scan:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.path[len(top) + 1 :] not in ours:
                    return False
    return True


def _edited(repository: Repository, copy: Path, changes: Sequence[Change]) -> tuple[list[bytes], list[bytes]]:
    """The paths that index or checkout have otherwise than before the change, and those where git does not look."""
    before = {change.path: f"{change.old_mode} {change.old_object} 0" for change in changes}
    missing = {change.path for change in changes if not change.added}
    edited, flagged = set(), set()
    paths = [os.fsdecode(path) for path in before]
    for start in range(0, len(paths), 500):
        chunk = paths[start : start + 500]
        for entry in split(
            repository.git("ls-files", "-z", "-v", "-s", "-c", "-m", "-d", "--", *chunk, index=copy)
        ):
            head, _, path = entry.partition(b"\t")
            tag, _, known = head.decode("ascii").partition(" ")
            missing.discard(path)
            if tag.islower() or tag == "S":
                flagged.add(path)
            elif path in before and (tag, known) != ("H", before[path]):
                edited.add(path)
    return sorted(edited | missing), sorted(flagged)


def _repair(shadow: Shadow, copy: Path, new: str, changes: Sequence[Change]) -> None:
    """Bring each path of `changes` to its state in `new`, where it is old, new, absent or a beginning of new."""
    repository = shadow.repository
    top = os.fsencode(repository.top)
    ours = {change.path for change in changes}
    foreign = [change.path for change in changes if not _ours(repository, top, change, ours)]
    if foreign:
        raise SetupError(
            f"{repository.top}: a landing stopped half-way (branch at {new[:10]}) and these files are neither as before nor as "
            f"landed: {', '.join(_names(foreign))}; put them aside or restore them with `git checkout HEAD -- PATH`, then "
            "start again"
        )
    zero = "0" * len(new)
    ordered = sorted(changes, key=lambda change: not change.deleted)
    lines = b"".join(
        (f"0 {zero}\t" if c.deleted else f"{c.new_mode} {c.new_object}\t").encode() + c.path + b"\0"
        for c in ordered
    )
    repository.git("update-index", "-z", "--index-info", stdin=lines, index=copy)
    for change in ordered:
        if change.deleted and _real_parents(top, change.path):
            place = top + b"/" + change.path
            if os.path.lexists(place) and not stat.S_ISDIR(os.lstat(place).st_mode):
                os.unlink(place)
            _remove_empty_parents(top, change.path)
    present = b"".join(change.path + b"\0" for change in changes if not change.deleted)
    if present:
        repository.git("checkout-index", "-f", "-u", "-q", "-z", "--stdin", stdin=present, index=copy)


def _real_parents(top: bytes, path: bytes) -> bool:
    """Whether every folder above `path` is a folder: nothing is ever done through a link."""
    for parent in parents(path):
        try:
            if not stat.S_ISDIR(os.lstat(top + b"/" + parent).st_mode):
                return False
        except FileNotFoundError:
            return False
    return True


def _ours(repository: Repository, top: bytes, change: Change, ours: Collection[bytes]) -> bool:
    """Whether what is at the path of `change` is its old or new state, or on the way from one to the other."""
    blocked = _blocked_above(top, change.path, ours)
    if blocked is not None:
        return False
    place = top + b"/" + change.path
    if not _real_parents(top, change.path):
        return True
    try:
        mode = os.lstat(place).st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        return _holds_only(place, ours, top)
    if stat.S_ISLNK(mode):
        stored = (
            repository.git("hash-object", "--stdin", "--no-filters", stdin=os.readlink(place))
            .decode()
            .strip()
        )
        return stored in (change.old_object, change.new_object)
    if not stat.S_ISREG(mode):
        return False
    with open(place, "rb") as stream:
        data = stream.read()
    stored = (
        repository.git("hash-object", "--stdin", f"--path={os.fsdecode(change.path)}", stdin=data)
        .decode()
        .strip()
    )
    if stored in (change.old_object, change.new_object):
        return True
    if change.deleted:
        return False
    whole = repository.git("cat-file", "--filters", f"--path={os.fsdecode(change.path)}", change.new_object)
    return whole.startswith(data)


def _remove_empty_parents(top: bytes, path: bytes) -> None:
    for parent in reversed(parents(path)):
        try:
            os.rmdir(top + b"/" + parent)
        except OSError:
            return


def _names(paths: Sequence[bytes]) -> list[str]:
    return [path.decode("utf-8", "backslashreplace") for path in paths]
