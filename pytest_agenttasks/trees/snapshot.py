"""What a session left in its workspace, as a tree: every file, by the base's rules, whatever its git says."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from .base_rules import BaseRules
from .edits import edited_tree
from .git import GitError, split
from .places import Place, take_back
from .shadow import Shadow
from .survey import Oddity, survey
from .workspace import tracked


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a workspace as a tree. `left_over` are new ignored files (folders end in `/`), not in the tree."""

    tree: str
    oddities: tuple[Oddity, ...]
    left_over: tuple[bytes, ...]
    empty: tuple[bytes, ...]


def snapshot(
    shadow: Shadow,
    where: Place,
    base_tree: str,
    skip: Collection[bytes],
    beside: Callable[[], None] = lambda: None,
) -> Snapshot:
    """Store every file of the workspace as a tree, by the ignore rules of `base_tree`.

    Oddities that the base's rules ignore are left out; with any other the tree holds what could be stored,
    and the caller keeps the workspace. `beside` begins other work, when what is left to do here is git's.
    """
    take_back(where)
    if not where.intact:
        where.index.unlink(missing_ok=True)
        shadow.git("read-tree", base_tree, index=where.index, work_tree=where.path)
    found = survey(where.path, skip)
    beside()
    tree = edited_tree(shadow, where, base_tree, found, skip)
    if tree is not None:
        return Snapshot(tree, (), (), ())
    git = partial(shadow.git, index=where.index, work_tree=where.path)
    odd = {oddity.path for oddity in found.oddities}
    with BaseRules(shadow, where, base_tree, found.rules, odd) as changed_rules:
        hiding = _hiding(shadow, where, skip)
        ask = partial(
            git, *hiding, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"
        )
        ignored = split(ask()) if odd else []
        oddities = [oddity for oddity in found.oddities if not _inside(oddity.path, ignored)]
        if large := [oddity.path for oddity in oddities if oddity.large]:
            unchanged = _unchanged(git, large)
            oddities = [oddity for oddity in oddities if not (oddity.large and oddity.path in unchanged)]
        try:
            if not oddities:
                git(*hiding, "add", "-A")
        except GitError as error:
            # Its own words name the file; the rest is still worth storing.
            reason = error.stderr.strip().splitlines()[-1:] or ["git add failed"]
            oddities.append(Oddity(b"(git add)", reason[0]))
        if oddities:
            # Ignore rules hide only what is not in the index.
            large = [oddity.path + b"\0" for oddity in oddities if oddity.large]
            git("update-index", "--force-remove", "-z", "--stdin", stdin=b"".join(large))
            hiding = _hiding(shadow, where, [*skip, *(oddity.path for oddity in oddities)])
            git(*hiding, "add", "-A", "--ignore-errors", accept=(0, 1, 128))
        if not odd and (found.empty or found.files.keys() - tracked(shadow, where)):
            ignored = split(ask())
        if changed_rules:
            lines = b"".join(
                f"{mode} {object_id}\t".encode() + path + b"\0"
                for path, (mode, object_id) in changed_rules.items()
            )
            git("update-index", "--add", "-z", "--index-info", stdin=lines)
        tree = git("write-tree").decode().strip()
    skipped = {path.rstrip(b"/") for path in skip}
    left_over = tuple(path for path in ignored if path.rstrip(b"/") not in skipped)
    return Snapshot(tree, tuple(oddities), left_over, found.empty)


def _unchanged(git: Callable[..., bytes], paths: list[bytes]) -> set[bytes]:
    """Those of `paths` that are tracked and as the index has them."""
    names = [os.fsdecode(path) for path in paths]
    return set(split(git("ls-files", "-z", "--", *names))) - set(
        split(git("ls-files", "-z", "-m", "--", *names))
    )


def _inside(path: bytes, listed: list[bytes]) -> bool:
    """Whether `path` is listed, or lies in a listed folder."""
    return any(path == entry or (entry.endswith(b"/") and path.startswith(entry)) for entry in listed)


def _hiding(shadow: Shadow, where: Place, paths: Collection[bytes]) -> tuple[str, ...]:
    """Arguments that keep git away from dependencies, and from files it would choke on."""
    if not paths:
        return ()
    users = shadow.git_dir / "info/user-excludes"
    special = shadow.git_dir / f"{where.role}-{where.worker}.excludes"
    escaped = [b"/" + re.sub(rb"([*?\[\]!# \\])", rb"\\\1", path) for path in paths if b"\n" not in path]
    special.write_bytes(users.read_bytes().rstrip(b"\n") + b"\n" + b"\n".join(escaped) + b"\n")
    return ("-c", f"core.excludesFile={special}")
