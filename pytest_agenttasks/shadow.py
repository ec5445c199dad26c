"""The runner's private repository: how it sees an agent's files without trusting anything the agent can write.

Its git dir, configuration, indexes and objects are the runner's own; the user's objects are borrowed as an
alternate; a workspace is only ever its work tree. Attempts live here as refs, out of the user's sight.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .git import DEAF, GitError, git, split
from .repository import Repository, write_config
from .trees import ABSENT_MODE, Change

_FIXED = {
    "core.bare": "false",
    "core.hookspath": os.devnull,
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "core.trustctime": "true",
    "core.checkstat": "default",
    "core.untrackedcache": "false",
    "core.splitindex": "false",
    "core.sparsecheckout": "false",
    "core.safecrlf": "false",
    "commit.gpgsign": "false",
    "core.fsync": "all",
    "core.fsyncmethod": "batch",
    "core.logallrefupdates": "false",
    "advice.addembeddedrepo": "false",
}


class Store(Protocol):
    """A repository to read objects from: the user's or the private one."""

    def git(self, *args: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Shadow:
    """The private repository at `git_dir`, for one user repository."""

    git_dir: Path
    repository: Repository

    def git(
        self,
        *args: str,
        index: Path | None = None,
        work_tree: Path | None = None,
        stdin: bytes | None = None,
        accept: tuple[int, ...] = (0,),
    ) -> bytes:
        place = work_tree or self.git_dir
        environment = {**DEAF, "GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(place)}
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        identity = self.repository.identity
        if identity is not None:
            environment |= {
                "GIT_AUTHOR_NAME": identity.name,
                "GIT_AUTHOR_EMAIL": identity.email,
                "GIT_COMMITTER_NAME": identity.name,
                "GIT_COMMITTER_EMAIL": identity.email,
            }
        return git(args, cwd=place, env=environment, stdin=stdin, accept=accept)

    def line(self, *args: str) -> str:
        return self.git(*args).decode("utf-8", "surrogateescape").rstrip("\n")


def prepare(repository: Repository, excludes: Sequence[str]) -> Shadow:
    """Create or refresh the private repository; `excludes` are patterns never seen in a workspace.

    The user's filters, line-ending and ignore settings are pinned here, before any agent has run.
    """
    git_dir = repository.home / "shadow.git"
    shadow = Shadow(git_dir, repository)
    if not (git_dir / "objects").is_dir():
        git_dir.parent.mkdir(parents=True, exist_ok=True)
        git(
            ["init", "-q", "--bare", "--template=", f"--object-format={repository.object_format}", str(git_dir)],
            cwd=repository.home,
            env=DEAF,
        )
    info = git_dir / "info"
    info.mkdir(exist_ok=True)
    pinned = {k: v for k, v in repository.settings.items() if not k.startswith(("user.", "safe."))}
    for key, name in (("core.excludesfile", "user-excludes"), ("core.attributesfile", "user-attributes")):
        source = pinned.get(key) or _default_user_file("ignore" if name == "user-excludes" else "attributes")
        target = info / name
        target.write_bytes(_read_if_there(Path(source)))
        pinned[key] = str(target)
    fixed = {**_FIXED, "core.repositoryformatversion": "0"}
    if repository.object_format != "sha1":
        fixed |= {"core.repositoryformatversion": "1", "extensions.objectformat": repository.object_format}
    write_config(git_dir / "config", {**pinned, **fixed})
    users = repository.common_dir / "info"
    own = "".join(f"{pattern}\n" for pattern in excludes).encode("utf-8", "surrogateescape")
    (info / "exclude").write_bytes(_read_if_there(users / "exclude").rstrip(b"\n") + b"\n" + own)
    (info / "attributes").write_bytes(_read_if_there(users / "attributes"))
    (git_dir / "objects/info").mkdir(exist_ok=True)
    (git_dir / "objects/info/alternates").write_bytes(os.fsencode(repository.common_dir / "objects") + b"\n")
    if (repository.common_dir / "shallow").exists():
        shutil.copyfile(repository.common_dir / "shallow", git_dir / "shallow")
    else:
        (git_dir / "shallow").unlink(missing_ok=True)
    return shadow


def _default_user_file(name: str) -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return f"{base}/git/{name}"


def _read_if_there(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""


def diff(shadow: Shadow, old: str, new: str) -> tuple[Change, ...]:
    """Every path that differs between two trees or commits; a rename is a deletion and an addition."""
    fields = split(shadow.git("diff-tree", "-r", "-z", "--no-renames", "--no-commit-id", old, new))
    changes = []
    for head, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old_object, new_object, _ = head.decode("ascii").lstrip(":").split(" ")
        changes.append(Change(path, old_mode, new_mode, old_object, new_object))
    return tuple(changes)


def patch(shadow: Shadow, old: str, new: str) -> bytes:
    """The difference as a patch that `git apply --binary` takes."""
    return shadow.git(
        "diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv",
        "--no-color", "--no-commit-id", "--src-prefix=a/", "--dst-prefix=b/", old, new,
    )  # fmt: skip


def entries(store: Store, tree: str, paths: Iterable[bytes]) -> dict[bytes, tuple[str, str]]:
    """Mode and object id of those of `paths` that `tree` holds (a folder is 040000)."""
    wanted = [os.fsdecode(path) for path in paths]
    if not wanted:
        return {}
    found: dict[bytes, tuple[str, str]] = {}
    for start in range(0, len(wanted), 500):
        for entry in split(store.git("ls-tree", "-z", tree, "--", *wanted[start : start + 500])):
            head, _, path = entry.partition(b"\t")
            mode, _, object_id = head.decode("ascii").split(" ")
            found[path] = (mode, object_id)
    return found


def blob(store: Store, object_id: str) -> bytes:
    return store.git("cat-file", "blob", object_id)


def write_blob(shadow: Shadow, data: bytes) -> str:
    return shadow.git("hash-object", "-w", "-t", "blob", "--no-filters", "--stdin", stdin=data).decode().strip()


def blob_id(data: bytes, object_format: str) -> str:
    """The id that git gives these bytes as a file's content."""
    return hashlib.new(object_format, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def compose(shadow: Shadow, tree: str, changes: Sequence[Change]) -> str:
    """The tree that `tree` becomes with `changes` applied: whole entries are set or removed, nothing is merged."""
    index = shadow.git_dir / f"compose-{os.getpid()}.index"
    try:
        shadow.git("read-tree", tree, index=index)
        # Removals first: a file may make way for a folder of its name, or the other way round.
        ordered = sorted(changes, key=lambda change: not change.deleted)
        lines = b"".join(
            f"{change.new_mode} {change.new_object}\t".encode() + change.path + b"\0"
            if not change.deleted
            else f"0 {change.old_object}\t".encode() + change.path + b"\0"
            for change in ordered
        )
        if lines:
            shadow.git("update-index", "-z", "--index-info", index=index, stdin=lines)
        return shadow.git("write-tree", index=index).decode().strip()
    finally:
        index.unlink(missing_ok=True)


def conflicts(shadow: Shadow, base: str, tip: str, changes: Sequence[Change]) -> tuple[bytes, ...]:
    """Paths among `changes` that also differ between `base` and `tip`, at the path, above it or below it."""
    if base == tip:
        return ()
    moved = {change.path for change in diff(shadow, base, tip)}
    above = {parent for path in moved for parent in _parents(path)}
    return tuple(
        change.path
        for change in changes
        if change.path in moved or change.path in above or any(parent in moved for parent in _parents(change.path))
    )


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]


def commit(shadow: Shadow, tree: str, parent: str, message: str) -> str:
    return (
        shadow.git("commit-tree", tree, "-p", parent, "-F", "-", stdin=message.encode("utf-8", "replace")).decode().strip()
    )


def keep(shadow: Shadow, ref: str, object_id: str) -> None:
    """Store an attempt under a ref that must not exist yet. Raises GitError when it does."""
    shadow.git("update-ref", ref, object_id, "0" * len(object_id))


def attempts(shadow: Shadow) -> dict[str, int]:
    """The highest number stored for each task."""
    highest: dict[str, int] = {}
    for name in shadow.line("for-each-ref", "--format=%(refname)", "refs/attempts/").splitlines():
        task, _, number = name.removeprefix("refs/attempts/").rpartition("/")
        highest[task] = max(highest.get(task, 0), int(number))
    return highest


def kept(shadow: Shadow, ref: str) -> str | None:
    """The object that an attempt's ref holds."""
    try:
        return shadow.line("rev-parse", "-q", "--verify", ref)
    except GitError as error:
        if error.status == 1:
            return None
        raise


def send(shadow: Shadow, new: str, have: str) -> None:
    """Copy what `new` needs beyond `have` into the user's repository, as objects without a ref."""
    pack = shadow.git("pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset", stdin=f"{new}\n^{have}\n".encode())
    shadow.repository.git("-c", "core.fsync=all", "-c", "core.fsyncMethod=batch", "unpack-objects", "-q", stdin=pack)


def addition(path: bytes, object_id: str, mode: str = "100644") -> Change:
    return Change(path, ABSENT_MODE, mode, "0" * len(object_id), object_id)


def removal(path: bytes, object_id: str, mode: str = "100644") -> Change:
    return Change(path, mode, ABSENT_MODE, object_id, "0" * len(object_id))
