"""The tree of a session that has only edited and deleted files, seen without a git process.

This is what most sessions do, and what git does for it: compare each file's `lstat` with the index, and store those that
differ. Wherever git knows more (attributes, new files and what ignores them, line ends, a disturbed index), it is asked.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from . import loose_objects
from .changes import GITLINK_MODE, Change
from .composition import composition, removal
from .index_file import content, mode_of
from .places import Place
from .shadow import Shadow
from .survey import RULE_FILES, Survey

LARGE = 4 * 1024 * 1024
"""Bytes; larger files git stores in pieces."""


def edited_tree(
    shadow: Shadow, where: Place, base_tree: str, found: Survey, skip: Collection[bytes]
) -> str | None:
    """What `base_tree` has become in a workspace that began with it; None where it takes git to tell.

    `skip`: paths that the survey has passed over.
    """
    if not shadow.verbatim or where.tree != base_tree or found.oddities or found.empty or not where.intact:
        return None
    listing = where.listing
    if listing is None or found.files.keys() - set(listing.names) or not listing.plain(skip):
        return None
    differing = listing.differing(found.files, where.index.stat().st_mtime_ns)
    if differing is None:
        return None
    top = os.fsencode(where.path)
    changes: list[Change] = []
    contents: dict[str, tuple[str, bytes]] = {}
    for path, known in differing.items():
        if known.mode == GITLINK_MODE:
            return None
        now = found.files.get(path)
        if now is None:
            changes.append(removal(path, known.object_id, known.mode))
            continue
        if now.st_size > LARGE or path.rpartition(b"/")[2] in RULE_FILES:
            return None
        mode = f"{mode_of(now):06o}"
        data = content(top + b"/" + path, mode)
        object_id = loose_objects.blob_id(data, shadow.repository.object_format)
        if (mode, object_id) != (known.mode, known.object_id):
            changes.append(Change(path, known.mode, mode, known.object_id, object_id))
            contents[object_id] = ("blob", data)
    tree, trees = composition(shadow, base_tree, changes)
    shadow.write_all({**contents, **trees})
    return tree
