"""What is to land goes into the user's repository: as objects that nothing refers to yet."""

from __future__ import annotations

from . import loose_objects
from .git import GitError
from .objects import TREE_MODE, read_tree
from .shadow import Shadow

FEW = 64
"""Objects that are copied one by one; more of them git packs, and unpacks, faster."""


def send(shadow: Shadow, new: str, have: str) -> None:
    """Copy what commit `new` needs beyond `have` into the user's repository; on disk when this returns."""
    repository = shadow.repository
    needed = _beyond(shadow, new, have) if repository.plain_objects else None
    if needed is not None:
        target = repository.common_dir / "objects"
        missing = loose_objects.hand_on(shadow.objects, target, needed, repository.object_format)
        if all(_has(shadow, name) for name in missing):
            return
    pack = shadow.git(
        "pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset", stdin=f"{new}\n^{have}\n".encode()
    )
    repository.git(
        "-c", "core.fsync=all", "-c", "core.fsyncMethod=batch", "unpack-objects", "-q", "--strict", stdin=pack
    )


def _has(shadow: Shadow, name: str) -> bool:
    """Whether the user's repository has an object of its own (a moved file's content, say)."""
    try:
        shadow.repository.read_anew(name)
    except GitError:
        return False
    return True


def _beyond(shadow: Shadow, new: str, have: str) -> set[str] | None:
    """The objects of `new` and the commits between that are not in the tree of `have`; None when they are many."""
    found: set[str] = set()
    while new != have:
        head, _, _ = shadow.read(new).data.partition(b"\n\n")
        parents = [line[7:].decode() for line in head.split(b"\n") if line.startswith(b"parent ")]
        if len(parents) != 1 or not _trees_beyond(shadow, have, new, found):
            return None
        found.add(new)
        new = parents[0]
    return found


def _trees_beyond(shadow: Shadow, old: str, new: str, found: set[str]) -> bool:
    """Add the trees and files of `new` that differ from `old` at their path; False when there are many."""
    pending: list[tuple[str | None, str]] = [(old, shadow.read(f"{new}^{{tree}}").object_id)]
    while pending:
        before, after = pending.pop()
        found.add(after)
        known = read_tree(shadow, before)
        for name, entry in read_tree(shadow, after).items():
            was = known.get(name)
            if was == entry:
                continue
            if entry.mode == TREE_MODE:
                pending.append((was.object_id if was and was.mode == TREE_MODE else None, entry.object_id))
            else:
                found.add(entry.object_id)
        if len(found) > FEW:
            return False
    return True
