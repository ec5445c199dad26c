"""Over there: the clone that sessions are made from. It has the branch's commits and no files of its own.

Nobody works in it: it is there so that workspaces, attempts and a journal are what they are at home.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from filelock import FileLock

from ..outcome import SetupError
from ..state_file import put
from ..trees.git import DEAF, GitError, git
from ..trees.repository import Repository, config_text, discover
from .messages import Clone, Opening
from .packs import Store

HAVE = 200
"""Commits that are named as present, at most."""


def clone_folder(wanted: Clone) -> Path:
    folder = platformdirs.user_state_path("agenttasks") / "elsewhere" / _plain(wanted.identifier)
    return folder / _plain(wanted.name)


def open_clone(wanted: Clone) -> Repository:
    """The clone, made where it is not there, with the settings it is to have now. Raises SetupError."""
    top = clone_folder(wanted)
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(top.with_name("clone.lock")):
        git_dir = top / ".git"
        try:
            if not (git_dir / "HEAD").exists():
                git(
                    ["init", "-q", "--template=", f"--object-format={wanted.object_format}", str(top)],
                    cwd=top, env=DEAF,
                )  # fmt: skip
        except GitError as error:
            raise SetupError(f"{top}: no clone can be made: {error}") from error
        own = {"core.repositoryformatversion": "0", "core.bare": "false", "gc.auto": "0"}
        if wanted.object_format != "sha1":
            own |= {"core.repositoryformatversion": "1", "extensions.objectformat": wanted.object_format}
        # This machine's own ignored files and attributes are of no account.
        own |= {"core.excludesfile": os.devnull, "core.attributesfile": os.devnull}
        (git_dir / "info").mkdir(exist_ok=True)
        _keep(git_dir / "config", config_text({**wanted.settings, **own}))
        _keep(git_dir / "info/exclude", wanted.exclude)
        _keep(git_dir / "info/attributes", wanted.attributes)
        _keep(git_dir / "HEAD", f"ref: {wanted.branch}\n".encode("utf-8", "surrogateescape"))
        if wanted.shallow:
            _keep(git_dir / "shallow", wanted.shallow)
        else:
            (git_dir / "shallow").unlink(missing_ok=True)
    return discover(top)


def commits_of(repository: Repository) -> tuple[str, ...]:
    """What the clone has for certain: the commits that its refs name, with all that belongs to them."""
    listed = repository.line(
        "for-each-ref", f"--count={HAVE}", "--format=%(objectname)", "refs/heads/", "refs/tags/"
    )
    return tuple(dict.fromkeys(listed.splitlines()))


def move_branch(repository: Repository, branch: str, commit: str) -> None:
    """The branch there is whatever the last session began with; nothing lands on it."""
    repository.git("update-ref", branch, commit)


def take_tags(repository: Repository, opening: Opening) -> None:
    """Have exactly these tags."""
    listed = repository.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/")
    now = dict(_named(listed))
    wanted = dict(_named(opening.tags))
    if now == wanted:
        return
    lines = [b"update " + name + b"\0" + value + b"\0\0" for name, value in wanted.items()]
    lines += [b"delete " + name + b"\0\0" for name in now.keys() - wanted.keys()]
    repository.git("update-ref", "-z", "--stdin", stdin=b"".join(lines))


def _named(listed: bytes) -> list[tuple[bytes, bytes]]:
    """Ref → object of lines with an object and a ref each."""
    pairs = (line.partition(b" ") for line in listed.splitlines())
    return [(name, value) for value, _, name in pairs]


def attempts_in(store: Store) -> dict[tuple[str, int], str]:
    """Task and number → tree, of the attempts that are stored."""
    found = {}
    listed = store.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/attempts/")
    for line in listed.decode("utf-8", "surrogateescape").splitlines():
        tree, _, ref = line.partition(" ")
        task, _, number = ref.removeprefix("refs/attempts/").rpartition("/")
        found[task, int(number)] = tree
    return found


def _keep(file: Path, data: bytes) -> None:
    if not file.exists() or file.read_bytes() != data:
        put(file, data)


def _plain(name: str) -> str:
    if name in ("", ".", "..") or "/" in name:
        raise SetupError(f"{name!r}: no name for a folder")
    return name
