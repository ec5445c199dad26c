"""Disposable workspaces and clean checkouts: folders outside the user's repository that hold exactly one tree.

A place is kept and moved from tree to tree; whatever else lies in it, apart from declared dependencies and
caches, is removed. Its `.git` is a throw-away, written anew each time and never read by the runner.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from ..outcome import SetupError
from .git import GitError, split
from .index_file import digest, names
from .removal import mounts_below, remove
from .repository import Repository, write_config
from .shadow import Shadow
from .survey import walk

Role = Literal["agent", "gate", "review", "services"]


@dataclass(frozen=True, slots=True)
class Place:
    """One workspace: `path` holds the files, `root` everything kept for it, `index` is the runner's own.

    `seal`: what the index was when the place was handed to a program, "" where it has not been; `tree`: what it held
    then.
    """

    role: Role
    worker: int
    root: Path
    path: Path
    index: Path
    seal: str = ""
    tree: str = ""

    @property
    def intact(self) -> bool:
        """Whether nobody has written into the runner's index since: one that can reach it could hide its changes."""
        return self.seal in ("", digest(self.index))

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"


def state_folder(repository: Repository) -> Path:
    """Where this repository's workspaces lie: the user's state folder."""
    return platformdirs.user_state_path("agenttasks") / repository.identifier


def place(shadow: Shadow, role: Role, worker: int) -> Place:
    root = state_folder(shadow.repository) / f"{role}-{worker}"
    where = Place(
        role=role,
        worker=worker,
        root=root,
        path=root / shadow.repository.top.name,
        index=index_of(shadow, role, worker),
    )
    take_back(where)
    (root / "tmp").mkdir(exist_ok=True)
    return where


def index_of(shadow: Shadow, role: Role, worker: int) -> Path:
    """The runner's own index of a place."""
    return shadow.git_dir / f"{role}-{worker}.index"


def take_back(where: Place) -> None:
    """Have folders of our own at and above the place's files.

    An agent may have put links there: to the user's checkout, which would then be cleaned and given a new `.git`.
    """
    for folder in (where.root.parent, where.root, where.path):
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)  # the upper one may be another process's work, just now
    if mounted := mounts_below(where.root):
        raise SetupError(
            f"{mounted[0]}: something is mounted in a workspace, and cleaning it would delete what is shown there; "
            "an agent that may mount did that: unmount it, and use a sandbox"
        )


def move_to(shadow: Shadow, where: Place, tree: str, keep: Collection[bytes], *, swept: bool = False) -> None:
    """Make `where` hold exactly `tree`, and besides it only what `keep` names (top-relative paths).

    `swept`: `sweep` has been here, and no program since.
    """
    where.path.mkdir(parents=True, exist_ok=True)
    try:
        if not swept:
            sweep(shadow, where, keep)
        _switch(shadow, where, tree)
    except (GitError, OSError):
        # An agent can make a folder unusable in more ways than are worth undoing: begin with an empty one.
        discard(where)
        where.path.mkdir(parents=True)
        _switch(shadow, where, tree)


def _switch(shadow: Shadow, where: Place, tree: str) -> None:
    shadow.git("read-tree", "--reset", "-u", tree, index=where.index, work_tree=where.path)


def sweep(shadow: Shadow, where: Place, keep: Collection[bytes]) -> None:
    """Remove all but the files of the place's index and what `keep` names. Raises OSError where that cannot be."""
    remove(where.path / ".git")
    listed = tracked(shadow, where) if where.index.exists() else set()
    folders = {b""}
    for path in (*listed, *keep):
        parent = path.rpartition(b"/")[0]
        while parent not in folders:
            folders.add(parent)
            parent = parent.rpartition(b"/")[0]
    root = os.fsencode(where.path)
    doomed = []
    for path, entry, trouble in walk(where.path, keep):
        if trouble is not None:
            raise OSError(f"{path!r} {trouble}")
        if entry is not None and path not in listed and (
            path not in folders or not entry.is_dir(follow_symlinks=False)
        ):  # fmt: skip
            doomed.append(path)
    for path in doomed:
        remove(Path(os.fsdecode(root + b"/" + path)))


def tracked(shadow: Shadow, where: Place) -> set[bytes]:
    """The paths in the place's index."""
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
