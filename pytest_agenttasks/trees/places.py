"""Where workspaces and checkouts lie: folders outside the user's repository, one for each role and worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from ..outcome import SetupError
from .index_file import Listing, digest
from .removal import mounts_below
from .repository import Repository
from .shadow import Shadow

Role = Literal["agent", "gate", "review", "services"]


@dataclass(frozen=True, slots=True)
class Place:
    """One workspace: `path` holds the files, `root` everything kept for it, `index` is the runner's own.

    What it was when the runner had brought it to a tree last: `tree`, "" where that is not known, `listing`, None where git
    has to be asked, and `seal`, the digest of the index.
    """

    role: Role
    worker: int
    root: Path
    path: Path
    index: Path
    seal: str = ""
    tree: str = ""
    listing: Listing | None = None

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
