"""Disposable workspaces and clean checkouts: folders outside the user's repository that hold exactly one tree.

A place is kept and moved from tree to tree; whatever else lies in it, apart from declared dependencies and
caches, is removed. Its `.git` is a throw-away, written anew each time and never read by the runner.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import platformdirs

from ..outcome import SetupError
from .git import GitError, split
from .index_file import digest, names
from .objects import entries
from .repository import Repository, write_config
from .shadow import Shadow, write_blob
from .survey import RULE_FILES, Oddity, survey, walk

Role = Literal["agent", "gate", "review"]


@dataclass(frozen=True, slots=True)
class Place:
    """One workspace: `path` holds the files, `root` everything kept for it, `index` is the runner's own.

    `seal`: what the index was when the place was handed to a program, "" where it has not been.
    """

    role: Role
    worker: int
    root: Path
    path: Path
    index: Path
    seal: str = ""

    @property
    def intact(self) -> bool:
        """Whether nobody has written into the runner's index since: one that can reach it could hide its changes."""
        return self.seal == digest(self.index)

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a workspace as a tree. `left_over` are new ignored files (folders end in `/`), not in the tree."""

    tree: str
    oddities: tuple[Oddity, ...]
    left_over: tuple[bytes, ...]
    empty: tuple[bytes, ...]


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
        index=shadow.git_dir / f"{role}-{worker}.index",
    )
    take_back(where)
    (root / "tmp").mkdir(exist_ok=True)
    return where


def take_back(where: Place) -> None:
    """Have folders of our own at and above the place's files.

    An agent may have put links there: to the user's checkout, which would then be cleaned and given a new `.git`.
    """
    for folder in (where.root.parent, where.root, where.path):
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)
            folder.mkdir(parents=True)
    if mounted := mounts_below(where.root):
        raise SetupError(
            f"{mounted[0]}: something is mounted in a workspace, and cleaning it would delete what is shown there; "
            "an agent that may mount did that: unmount it, and use a sandbox"
        )


def mounts_below(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """The mount points below a folder (Linux; elsewhere none is known)."""
    if not table.exists():
        return []
    inside = os.fsencode(folder.resolve()) + b"/"
    points = (line.split(b" ")[4] for line in table.read_bytes().splitlines())
    plain = (re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), point) for point in points)
    return [os.fsdecode(point) for point in plain if point.startswith(inside)]


def move_to(shadow: Shadow, where: Place, tree: str, keep: Collection[bytes]) -> None:
    """Make `where` hold exactly `tree`, and besides it only what `keep` names (top-relative paths)."""
    where.path.mkdir(parents=True, exist_ok=True)
    try:
        _move(shadow, where, tree, keep)
    except (GitError, OSError):
        # An agent can make a folder unusable in more ways than are worth undoing: begin with an empty one.
        discard(where)
        where.path.mkdir(parents=True)
        _move(shadow, where, tree, ())


def _move(shadow: Shadow, where: Place, tree: str, keep: Collection[bytes]) -> None:
    remove(where.path / ".git")
    shadow.git("read-tree", "--reset", "-u", tree, index=where.index, work_tree=where.path)
    listed = tracked(shadow, where)
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
        known = set(split(shadow.git("ls-files", "-z", index=where.index, work_tree=where.path)))
    return known


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


def snapshot(shadow: Shadow, where: Place, base_tree: str, skip: Collection[bytes]) -> Snapshot:
    """Store every file of the workspace as a tree, by the ignore rules of `base_tree`.

    Oddities that the base's rules ignore are left out; with any other the tree holds what could be stored,
    and the caller keeps the workspace.
    """
    take_back(where)
    if where.seal and not where.intact:
        where.index.unlink(missing_ok=True)
        shadow.git("read-tree", base_tree, index=where.index, work_tree=where.path)
    found = survey(where.path, skip)
    git = partial(shadow.git, index=where.index, work_tree=where.path)
    odd = {oddity.path for oddity in found.oddities}
    with _BaseRules(shadow, where, base_tree, found.rules, odd) as changed_rules:
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
        if not odd and (found.empty or found.files - tracked(shadow, where)):
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


class _BaseRules:
    """While it is entered, the workspace has the base's `.gitattributes` and `.gitignore` files, and no others.

    An agent's own could hide files, change what is stored of them, or keep git from storing anything. Yields
    the agent's versions (path → mode and stored object), to be put into the snapshot afterwards; the files
    themselves are put back on leaving. A deleted one needs no care: its absence hides nothing.
    """

    def __init__(
        self, shadow: Shadow, where: Place, base_tree: str, present: tuple[bytes, ...], odd: Collection[bytes]
    ) -> None:
        self._shadow, self._where, self._base = shadow, where, base_tree
        self._present, self._odd = present, odd
        self._agents: dict[bytes, tuple[str, str]] = {}
        self._originals: dict[Path, bytes] = {}
        self._away: dict[Path, Path] = {}

    def __enter__(self) -> dict[bytes, tuple[str, str]]:
        # Attributes first: they decide whether an ignore file counts as changed.
        for name in RULE_FILES:
            self._restore([path for path in self._present if path.rpartition(b"/")[2] == name])
        return self._agents

    def _restore(self, paths: list[bytes]) -> None:
        git = partial(self._shadow.git, index=self._where.index, work_tree=self._where.path)
        plain = []
        for path in paths:
            file = self._where.path / os.fsdecode(path)
            mode = file.lstat().st_mode
            if path in self._odd or not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
                self._away[file] = self._where.root / f"rules-{len(self._away)}"
                file.rename(self._away[file])
            elif stat.S_ISREG(mode):
                plain.append(path)
        if not plain:
            return
        changed = split(git("ls-files", "-z", "-m", "-o", "--", *map(os.fsdecode, plain)))
        base = entries(self._shadow, self._base, changed)
        for path in changed:
            file = self._where.path / os.fsdecode(path)
            mode_bits, object_id = base.get(path, ("100644", ""))
            data = file.read_bytes()
            self._agents[path] = (mode_bits, write_blob(self._shadow, data))
            self._originals[file] = data
            if object_id:
                file.write_bytes(git("cat-file", "--filters", f"--path={os.fsdecode(path)}", object_id))
            else:
                file.unlink()

    def __exit__(self, *_: object) -> None:
        for file, data in self._originals.items():
            file.write_bytes(data)
        for file, place in self._away.items():
            place.rename(file)


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


def remove(path: Path) -> None:
    """Delete a file or a folder of ours, whatever an agent made of it; absent is fine.

    What even that does not delete is moved aside, for a later run must not stumble over it.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        path.unlink()
        return
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        # Folders without permissions, or deeper than any path may be long: the tools walk by handle.
        subprocess.run(["chmod", "-R", "u+rwX", "--", path], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", "--", path], capture_output=True, check=False)
    if os.path.lexists(path):
        number = 1
        while os.path.lexists(trash := path.with_name(f"trash-{number}")):
            number += 1
        path.rename(trash)
