"""A place moved to another tree by the few files that differ, without a git process.

That takes a place whose every file has been looked at, a tree that its index surely holds, and names, kinds and bytes that
git would write as they are stored. Wherever git knows more, or the files are many, it is asked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..state_file import put
from .changes import ABSENT_MODE, SYMLINK_MODE, parents
from .composition import diff
from .index_file import Known, Listing, words_of
from .objects import Entry
from .places import Place
from .shadow import Shadow

FEW = 64
"""Files that are written one by one; git is faster with more."""
_FILE_MODES = ("100644", "100755", SYMLINK_MODE)


@dataclass(frozen=True, slots=True)
class Swept:
    """A place that holds nothing but the files of its index and what was to stay.

    `listing` is that index, None where only git can tell; `doubtful` its entries whose file is gone, or not surely the one
    that the index had looked at.
    """

    listing: Listing | None = None
    doubtful: Mapping[bytes, Known] = field(default_factory=dict)


def switch(shadow: Shadow, where: Place, swept: Swept, tree: str) -> Listing | None:
    """Bring the files and the index of `where` from the tree that it held to `tree`; None, where git is to do that.

    Raises OSError and GitError where it began and could not go on: then too git can.
    """
    listing = swept.listing
    if listing is None or not where.tree or not shadow.verbatim:
        return None
    wanted: dict[bytes, Entry] = {
        path: Entry(known.mode, known.object_id) for path, known in swept.doubtful.items()
    }
    for change in diff(shadow, where.tree, tree):
        wanted[change.path] = Entry(change.new_mode, change.new_object)
    if len(wanted) > FEW or not all(_plain(path, entry) for path, entry in wanted.items()):
        return None
    top = os.fsencode(where.path)
    updates: dict[bytes, tuple[str, tuple[int, ...]] | None] = {}
    # What goes makes way first: a file may take the place of a folder, or the other way round.
    for path in sorted((path for path, entry in wanted.items() if entry.mode == ABSENT_MODE), reverse=True):
        _take_away(top, path)
        updates[path] = None
    for path, entry in wanted.items():
        if entry.mode != ABSENT_MODE:
            _write(shadow, top, path, entry)
            updates[path] = entry.object_id, words_of(os.lstat(top + b"/" + path))
    if updates:
        listing = listing.with_entries(updates)
        put(where.index, listing.data)
    return listing


def _plain(path: bytes, entry: Entry) -> bool:
    return entry.mode in (ABSENT_MODE, *_FILE_MODES) and not path.endswith(b".gitattributes")


def _write(shadow: Shadow, top: bytes, path: bytes, entry: Entry) -> None:
    data = shadow.read(entry.object_id).data
    file = top + b"/" + path
    for parent in parents(path):
        folder = top + b"/" + parent
        if os.path.lexists(folder):
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                raise NotADirectoryError(folder)
        else:
            os.mkdir(folder)  # noqa: PTH102 - names are bytes
    if os.path.lexists(file):
        os.unlink(file)  # noqa: PTH108
    if entry.mode == SYMLINK_MODE:
        os.symlink(data, file)  # noqa: PTH211
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o777 if entry.mode == "100755" else 0o666), "wb") as stream:
        stream.write(data)


def _take_away(top: bytes, path: bytes) -> None:
    """Remove a file and the folders that are empty without it."""
    if not _real_parents(top, path):
        return
    if os.path.lexists(top + b"/" + path):
        os.unlink(top + b"/" + path)  # noqa: PTH108
    for parent in reversed(parents(path)):
        try:
            os.rmdir(top + b"/" + parent)  # noqa: PTH106
        except OSError:
            return


def _real_parents(top: bytes, path: bytes) -> bool:
    """Whether every folder above `path` is there, and is a folder: nothing is ever done through a link."""
    try:
        return all(stat.S_ISDIR(os.lstat(top + b"/" + parent).st_mode) for parent in parents(path))
    except FileNotFoundError:
        return False
