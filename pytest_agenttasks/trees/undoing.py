"""Taking a commit's changes back out of a later tree, file by file, as `git revert` would; nothing is checked out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .changes import ABSENT_MODE, REGULAR_MODES, Change
from .composition import write_blob
from .git import GitError
from .objects import Entry, blob, entries
from .shadow import Shadow


@dataclass(frozen=True, slots=True)
class Undone:
    """`changes` take the tree back; `conflicts` are the paths whose later changes are in the way."""

    changes: tuple[Change, ...]
    conflicts: tuple[bytes, ...]


def undo(shadow: Shadow, tree: str, done: Sequence[Change]) -> Undone:
    """How `tree`, which has had the changes `done` and others since, is to be changed to have only the others.

    What is as before already needs no change.
    """
    now = entries(shadow, tree, [change.path for change in done])
    changes, conflicts = [], []
    for change in done:
        here = now.get(change.path) or Entry(ABSENT_MODE, "0" * len(change.new_object))
        before = Entry(change.old_mode, change.old_object)
        after = Entry(change.new_mode, change.new_object)
        wanted = _three_way(shadow, after, here, before)
        if wanted is None:
            conflicts.append(change.path)
        elif wanted != here:
            changes.append(Change(change.path, here.mode, wanted.mode, here.object_id, wanted.object_id))
    return Undone(tuple(changes), tuple(conflicts))


def _three_way(shadow: Shadow, base: Entry, ours: Entry, theirs: Entry) -> Entry | None:
    """`ours` with what leads from `base` to `theirs`; None where both changed the same."""
    if ours in (base, theirs):
        return theirs
    if not {base.mode, ours.mode, theirs.mode} <= REGULAR_MODES:
        return None
    mode = _either(base.mode, ours.mode, theirs.mode)
    content = _either(base.object_id, ours.object_id, theirs.object_id) or _merged(shadow, base, ours, theirs)
    return Entry(mode, content) if mode and content else None


def _either(base: str, ours: str, theirs: str) -> str | None:
    if ours in (base, theirs):
        return theirs
    return ours if theirs == base else None


def _merged(shadow: Shadow, base: Entry, ours: Entry, theirs: Entry) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, entry in (("ours", ours), ("base", base), ("theirs", theirs)):
            file = Path(folder, name)
            file.write_bytes(blob(shadow, entry.object_id))
            files.append(str(file))
        try:
            merged = shadow.git("merge-file", "-p", "-q", *files)
        except GitError:  # conflicts, or what is no text
            return None
    return write_blob(shadow, merged)
