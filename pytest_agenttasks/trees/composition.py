"""Trees compared, and made of other trees and changes; nothing is ever merged."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence

from ..outcome import SetupError
from . import loose_objects
from .changes import ABSENT_MODE, Change, parents, shown
from .git import GitError
from .objects import TREE_MODE, Entry, format_tree, read_tree
from .shadow import Shadow


def diff(shadow: Shadow, old: str, new: str) -> tuple[Change, ...]:
    """Every path that differs between two trees or commits, sorted; a rename is a deletion and an addition."""
    absent = Entry(ABSENT_MODE, "0" * len(old))
    changes = []
    pending: list[tuple[bytes, str | None, str | None]] = [(b"", old, new)]
    while pending:
        folder, *trees = pending.pop()
        before, after = (read_tree(shadow, tree) for tree in trees)
        for name in {name for name, _ in before.items() ^ after.items()}:
            was, now = before.get(name, absent), after.get(name, absent)
            if TREE_MODE in (was.mode, now.mode):
                inner = [entry.object_id if entry.mode == TREE_MODE else None for entry in (was, now)]
                pending.append((folder + name + b"/", inner[0], inner[1]))
                was, now = (absent if entry.mode == TREE_MODE else entry for entry in (was, now))
            if was != now:
                changes.append(Change(folder + name, was.mode, now.mode, was.object_id, now.object_id))
    return tuple(sorted(changes, key=lambda change: change.path))


def patch(shadow: Shadow, old: str, new: str) -> bytes:
    """The difference as a patch that `git apply --binary` takes."""
    return shadow.git(
        "diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv",
        "--no-color", "--no-commit-id", "--src-prefix=a/", "--dst-prefix=b/", old, new,
    )  # fmt: skip


def readable_patch(shadow: Shadow, old: str, new: str) -> bytes:
    """The difference for people: of binary files it says only that they differ."""
    return shadow.git(
        "diff-tree", "-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--no-commit-id",
        "--src-prefix=a/", "--dst-prefix=b/", old, new,
    )  # fmt: skip


def write_blob(shadow: Shadow, data: bytes) -> str:
    return shadow.write("blob", data)


Contents = Mapping[str, tuple[str, bytes]]
"""Objects that are to be stored: id → kind and data."""


def compose(shadow: Shadow, tree: str, changes: Sequence[Change]) -> str:
    """The tree that `tree` becomes with `changes` applied: whole entries are set or removed, nothing is merged.

    Raises GitError where a path would be a file and a folder.
    """
    composed, contents = composition(shadow, tree, changes)
    shadow.write_all(contents)
    return composed


def composition(shadow: Shadow, tree: str, changes: Sequence[Change]) -> tuple[str, Contents]:
    """`compose`, with the trees still to be stored."""
    folders = {b"": read_tree(shadow, tree)}
    for change in changes:
        if change.deleted:
            folder, name = os.path.split(change.path)
            _folder(shadow, folders, folder).pop(name, None)
    # A file may make way for a folder of its name, or the other way round.
    for path in _inner_first(folders):
        parent, name = os.path.split(path)
        if not folders[path] and folders[parent].get(name, (None,))[0] == TREE_MODE:
            del folders[parent][name]
    for change in changes:
        if not change.deleted:
            folder, name = os.path.split(change.path)
            entries = _folder(shadow, folders, folder)
            if name in entries and entries[name].mode == TREE_MODE:
                raise _both(change.path)
            entries[name] = Entry(change.new_mode, change.new_object)
    written: dict[str, tuple[str, bytes]] = {}

    def write_tree(path: bytes) -> str:
        data = format_tree(folders[path])
        name = loose_objects.object_id("tree", data, shadow.repository.object_format)
        written[name] = ("tree", data)
        return name

    for path in _inner_first(folders):
        parent, name = os.path.split(path)
        if folders[path]:
            if folders[parent].get(name, (TREE_MODE,))[0] != TREE_MODE:
                raise _both(path)
            folders[parent][name] = Entry(TREE_MODE, write_tree(path))
    return write_tree(b""), written


def _folder(shadow: Shadow, folders: dict[bytes, dict[bytes, Entry]], path: bytes) -> dict[bytes, Entry]:
    """The entries of a folder, read when first asked for; none where there is no folder."""
    for inner in (*parents(path), path):
        if inner not in folders:
            parent, name = os.path.split(inner)
            entry = folders[parent].get(name)
            folders[inner] = read_tree(shadow, entry.object_id if entry and entry.mode == TREE_MODE else None)
    return folders[path]


def _inner_first(folders: Iterable[bytes]) -> list[bytes]:
    return sorted((path for path in folders if path), key=lambda path: path.count(b"/"), reverse=True)


def _both(path: bytes) -> GitError:
    return GitError(("compose",), 1, f"{shown(path)} would be both a file and a folder")


def conflicts(shadow: Shadow, base: str, tip: str, changes: Sequence[Change]) -> tuple[bytes, ...]:
    """Paths among `changes` that also differ between `base` and `tip`, at the path, above it or below it."""
    if base == tip:
        return ()
    moved = {change.path for change in diff(shadow, base, tip)}
    above = {parent for path in moved for parent in parents(path)}
    return tuple(
        change.path
        for change in changes
        if change.path in moved
        or change.path in above
        or any(parent in moved for parent in parents(change.path))
    )


def commit(shadow: Shadow, tree: str, parent: str, message: str, contents: Contents | None = None) -> str:
    """A commit of the runner's, by the user's identity, now; `contents` are stored with it."""
    identity = shadow.repository.identity
    if identity is None:
        raise SetupError(
            f"{shadow.repository.top}: git does not know who commits here; set user.name and user.email"
        )
    by = f"{identity.name} <{identity.email}> {int(time.time())} {time.strftime('%z')}"
    text = message.replace("\0", "\ufffd").rstrip("\n")
    data = f"tree {tree}\nparent {parent}\nauthor {by}\ncommitter {by}\n\n{text}\n"
    stored = data.encode("utf-8", "replace")
    name = loose_objects.object_id("commit", stored, shadow.repository.object_format)
    shadow.write_all({**(contents or {}), name: ("commit", stored)})
    return name


def addition(path: bytes, object_id: str, mode: str = "100644") -> Change:
    return Change(path, ABSENT_MODE, mode, "0" * len(object_id), object_id)


def removal(path: bytes, object_id: str, mode: str = "100644") -> Change:
    return Change(path, mode, ABSENT_MODE, object_id, "0" * len(object_id))
