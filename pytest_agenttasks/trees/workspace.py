"""Disposable workspaces and clean checkouts: folders outside the user's repository that hold exactly one tree.

A place is kept and moved from tree to tree; whatever else lies in it, apart from declared dependencies and
caches, is removed. Its `.git` is a throw-away, written anew each time and never read by the runner.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from .git import GitError, split
from .index_file import digest, names, read, unchanged
from .places import Place
from .removal import remove
from .repository import Repository, write_config
from .shadow import Shadow
from .survey import walk
from .switch import Swept, switch

MANY = 5000
"""Files of a place beyond which git, which looks at them in several threads, is faster than we are."""


def move_to(
    shadow: Shadow, where: Place, tree: str, keep: Collection[bytes], swept: Swept | None = None
) -> Place:
    """Make `where` hold exactly `tree`, and besides it only what `keep` names (top-relative paths); returns it with what is
    known of it now.

    `swept`: what `sweep` has found here; no program has been here since.
    """
    where.path.mkdir(parents=True, exist_ok=True)
    listing = None
    try:
        listing = switch(shadow, where, swept or sweep(shadow, where, keep), tree)
        if listing is None:
            _switch(shadow, where, tree)
    except (GitError, OSError):
        # An agent can make a folder unusable in more ways than are worth undoing: begin with an empty one.
        discard(where)
        where.path.mkdir(parents=True)
        _switch(shadow, where, tree)
    return replace(
        where,
        tree=tree,
        seal=digest(where.index),
        listing=listing or read(where.index, shadow.repository.id_bytes),
    )


def _switch(shadow: Shadow, where: Place, tree: str) -> None:
    shadow.git("read-tree", "--reset", "-u", tree, index=where.index, work_tree=where.path)


def sweep(shadow: Shadow, where: Place, keep: Collection[bytes]) -> Swept:
    """Remove all but the files of the place's index and what `keep` names. Raises OSError where that cannot be."""
    remove(where.path / ".git")
    listing = where.listing if where.tree and where.intact else None
    looked_at = listing is not None and len(listing.names) <= MANY
    listed = set(listing.names) if listing else tracked(shadow, where)
    folders = {b""}
    for path in (*listed, *keep):
        parent = path.rpartition(b"/")[0]
        while parent not in folders:
            folders.add(parent)
            parent = parent.rpartition(b"/")[0]
    root = os.fsencode(where.path)
    doomed = []
    files: dict[bytes, os.stat_result] = {}
    for folder in walk(where.path, keep):
        prefix = folder.path
        if folder.trouble is not None:
            raise OSError(f"{prefix!r} {folder.trouble}")
        for name in folder.folders:
            if prefix + name not in folders:
                doomed.append(prefix + name)
        for entry in folder.files:
            path = prefix + entry.name
            if path not in listed:
                doomed.append(path)
            elif looked_at:
                files[path] = entry.stat(follow_symlinks=False)
    for path in doomed:
        remove(Path(os.fsdecode(root + b"/" + path)))
    if listing is None or not looked_at or not listing.plain(keep):
        return Swept()
    doubtful = listing.differing(files, where.index.stat().st_mtime_ns)
    return Swept() if doubtful is None else Swept(listing, doubtful)


def surely_as_switched(where: Place) -> bool:
    """Whether every file of the index can be seen, without asking git, to be what it was when the place got its tree."""
    if where.listing is None or len(where.listing.names) > MANY:
        return False
    top = os.fsencode(where.path) + b"/"
    as_of = where.index.stat().st_mtime_ns
    try:
        files = {path: os.lstat(top + path) for path in where.listing.names}
    except OSError:
        return False
    differing = where.listing.differing(files, as_of)
    return differing is not None and all(
        unchanged(known, top + path, as_of) for path, known in differing.items()
    )


def tracked(shadow: Shadow, where: Place) -> set[bytes]:
    """The paths in the place's index, none where there is no index."""
    if not where.index.exists():
        return set()
    known = names(where.index, shadow.repository.id_bytes)
    if known is None:
        known = split(shadow.git("ls-files", "-z", index=where.index, work_tree=where.path))
    return set(known)


def write_git(
    shadow: Shadow, where: Place, head: str, branch: str, refs: bytes, *, index_of: str | None = None
) -> None:
    """Give the place a `.git` of its own: HEAD at `head` on `branch`, the tags, borrowed history, no remote.

    `index_of`: a tree for its index where the files are not those of `head`.
    """
    repository = shadow.repository
    folder = where.path / ".git"
    remove(folder)
    for name in ("objects/info", "refs/heads", "refs/tags", "info"):
        (folder / name).mkdir(parents=True)
    sha256 = repository.object_format != "sha1"
    identity = repository.identity
    config = [
        "[core]",
        f"\trepositoryformatversion = {1 if sha256 else 0}",
        "\tfilemode = true",
        "\tbare = false",
        "\tlogallrefupdates = true",
        "[gc]",
        "\tauto = 0",
    ]
    if sha256:
        config += ["[extensions]", f"\tobjectformat = {repository.object_format}"]
    (folder / "config").write_text("\n".join(config) + "\n")
    if identity is not None:
        write_config(folder / "identity", {"user.name": identity.name, "user.email": identity.email})
        with (folder / "config").open("a") as file:
            file.write("[include]\n\tpath = identity\n")
    (folder / "HEAD").write_text(f"ref: {branch}\n", errors="surrogateescape")
    (folder / "packed-refs").write_bytes(refs + f"{head} ".encode() + os.fsencode(branch) + b"\n")
    borrowed = (repository.common_dir / "objects", shadow.git_dir / "objects")
    (folder / "objects/info/alternates").write_bytes(b"".join(os.fsencode(path) + b"\n" for path in borrowed))
    if (shadow.git_dir / "shallow").exists():
        shutil.copyfile(shadow.git_dir / "shallow", folder / "shallow")
    shutil.copyfile(shadow.git_dir / "info/exclude", folder / "info/exclude")
    if index_of is None:
        shutil.copy2(where.index, folder / "index")
    else:
        shadow.git("read-tree", index_of, index=folder / "index", work_tree=where.path)


def tags(repository: Repository) -> bytes:
    """The tags in the format of a packed-refs file."""
    return repository.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/")


def set_aside(where: Place, name: str) -> Path:
    """Move the workspace's files out of the way, for what could not be stored; returns where they are now."""
    folder = where.root.parent / "kept"
    folder.mkdir(exist_ok=True)
    target = folder / name
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{name}.{number}"
    where.path.rename(target)
    where.index.unlink(missing_ok=True)
    return target


def discard(where: Place) -> None:
    """Throw the place's files away, whatever an agent did to them."""
    remove(where.path)
    where.index.unlink(missing_ok=True)
