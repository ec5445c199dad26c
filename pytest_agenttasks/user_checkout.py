"""The user's checkout: whether a change can go into it without touching anything of the user's, and mending one
that was left half-way.

The user's files are only ever replaced where they equal the old commit, or lie between the old and the new.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Collection, Sequence
from pathlib import Path

from .outcome import SetupError
from .trees.changes import Change, parents, shown
from .trees.git import split
from .trees.index_file import Listing, unchanged
from .trees.index_file import read as read_index
from .trees.repository import Repository
from .trees.shadow import Shadow


class BranchMoved(Exception):
    """The branch is not (or no longer) where the new commit was built on."""


class InTheWay(Exception):
    """The user's checkout has something at a path that would change. `paths` are for people."""

    def __init__(self, paths: Sequence[str], what: str) -> None:
        shown = ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
        super().__init__(f"{what}: {shown}")
        self.paths = tuple(paths)


def take_up(repository: Repository, copy: Path, new: str, on_disk: Collection[bytes]) -> None:
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


def check(
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
    asked = [change for change in changes if change.path not in on_disk]
    listing = read_index(copy, repository.id_bytes)
    sure = listing is not None and _surely_as_before(repository, listing, copy.stat().st_mtime_ns, asked)
    edited, flagged = ([], []) if sure else _edited(repository, copy, asked)
    if edited:
        raise InTheWay(_names(edited), "your uncommitted changes are in the way")
    if flagged:
        raise InTheWay(
            _names(flagged), "marked assume-unchanged or skip-worktree, so your edits there cannot be seen"
        )
    staged = _staged_around(
        listing.names if listing else sorted(split(repository.git("ls-files", "-z", index=copy))), changes
    )
    if staged:
        raise InTheWay(
            _names(staged), "you have staged a file where a folder of the change is, or in place of its file"
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


def _staged_around(listed: Sequence[bytes], changes: Sequence[Change]) -> list[bytes]:
    """Entries of the index above or below a path that the change adds: git would take them out without a word."""
    added = [change.path for change in changes if change.added]
    ours = {change.path for change in changes}
    known = set(listed)
    found = {parent for path in added for parent in parents(path) if parent in known}
    for path in added:
        at = bisect_left(listed, path + b"/")
        while at < len(listed) and listed[at].startswith(path + b"/"):
            found.add(listed[at])
            at += 1
    return sorted(found - ours)


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


def _surely_as_before(
    repository: Repository, listing: Listing, as_of: int, changes: Sequence[Change]
) -> bool:
    """Whether index and checkout can be seen, without asking git, to have each path as it was before the change."""
    found = listing.lookup({change.path for change in changes})
    if found is None:
        return False
    top = os.fsencode(repository.top)
    for change in changes:
        known = found.get(change.path)
        if known is None:
            if not change.added:
                return False
        elif (known.mode, known.object_id) != (change.old_mode, change.old_object) or not unchanged(
            known, top + b"/" + change.path, as_of
        ):
            return False
    return True


def _edited(repository: Repository, copy: Path, changes: Sequence[Change]) -> tuple[list[bytes], list[bytes]]:
    """The paths that index or checkout have otherwise than before the change, and those where git does not look."""
    # What git has not looked at since it changed would be in the way of moving the files.
    repository.git("update-index", "-q", "--refresh", index=copy, accept=(0, 1))
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


def repair(shadow: Shadow, copy: Path, new: str, changes: Sequence[Change]) -> None:
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
    return [shown(path) for path in paths]
