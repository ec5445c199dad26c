"""The runner's private repository: how it sees an agent's files without trusting anything the agent can write.

Its git dir, configuration, indexes and objects are the runner's own; the user's objects are borrowed as an
alternate; a workspace is only ever its work tree. Attempts live here as refs, out of the user's sight.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..outcome import SetupError
from ..state_file import put
from . import loose_objects
from .git import DEAF, git
from .objects import ObjectReader, Stored
from .removal import remove
from .repository import Repository, config_text

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
    # Not the indexes: one that a power failure spoils is noticed and made anew.
    "core.fsync": "objects,derived-metadata,reference",
    "core.fsyncmethod": "batch",
    "core.logallrefupdates": "false",
    "advice.addembeddedrepo": "false",
}


_VERBATIM = (
    ("core.autocrlf", "false"), ("core.filemode", "true"), ("core.symlinks", "true"), ("core.ignorecase", "false"),
    ("core.precomposeunicode", "false"),
)  # fmt: skip
"""The user's settings, each as it is usual, with which a file's name, kind and bytes are what git stores of them."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """The private repository at `git_dir`, for one user repository. `pins` are its settings, file by file.

    `verbatim`: without attributes in a tree, git stores every file as it is.
    """

    git_dir: Path
    repository: Repository
    _reader: ObjectReader
    pins: Mapping[Path, bytes] = field(default_factory=dict)
    verbatim: bool = False

    def pin(self) -> None:
        """Put the settings back as they were before the first agent started, whatever has been written there."""
        for file, data in self.pins.items():
            if _read_if_there(file) != data:
                put(file, data)

    def read(self, name: str) -> Stored:
        """One object, of the user's too."""
        return self._reader.read(name)

    @property
    def objects(self) -> Path:
        return self.git_dir / "objects"

    def write(self, kind: str, data: bytes) -> str:
        """Store an object; returns its id."""
        name = loose_objects.object_id(kind, data, self.repository.object_format)
        self.write_all({name: (kind, data)})
        return name

    def write_all(self, contents: Mapping[str, tuple[str, bytes]]) -> None:
        """Store objects, id → kind and data; on disk when this returns."""
        loose_objects.write(self.objects, contents)
        for name, (kind, data) in contents.items():
            self._reader.learn(Stored(name, kind, data))

    def close(self) -> None:
        self._reader.close()

    def git(
        self,
        *args: str,
        index: Path | None = None,
        work_tree: Path | None = None,
        stdin: bytes | Path | None = None,
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


def existing(repository: Repository) -> Shadow | None:
    """The private repository as it is, for looking and cleaning; None where no run has made it."""
    git_dir = repository.home / "shadow.git"
    if not (git_dir / "HEAD").is_file():
        return None
    return Shadow(git_dir, repository, ObjectReader(git_dir, {**DEAF, "GIT_DIR": str(git_dir)}))


def prepare(repository: Repository, excludes: Sequence[str], *, shared: bool = False) -> Shadow:
    """Create or refresh the private repository; `excludes` are patterns never seen in a workspace.

    The user's filters, line-ending and ignore settings are pinned here, before any agent has run. `shared`: other
    processes are using it. Raises SetupError where that would change their settings.
    """
    git_dir = repository.home / "shadow.git"
    shadow = Shadow(git_dir, repository, ObjectReader(git_dir, {**DEAF, "GIT_DIR": str(git_dir)}))
    made = not (
        (git_dir / "objects").is_dir()
        and (git_dir / "refs").is_dir()
        and _read_if_there(git_dir / "HEAD").startswith(b"ref: refs/heads/")
    )
    if made:
        _make(git_dir, repository)
    info = git_dir / "info"
    info.mkdir(exist_ok=True)
    (git_dir / "objects/info").mkdir(exist_ok=True)
    wanted: dict[Path, bytes] = {}
    pinned = {k: v for k, v in repository.settings.items() if not k.startswith(("user.", "safe."))}
    for key, name in (("core.excludesfile", "user-excludes"), ("core.attributesfile", "user-attributes")):
        source = pinned.get(key) or _default_user_file("ignore" if name == "user-excludes" else "attributes")
        wanted[info / name] = _read_if_there(Path(source))
        pinned[key] = str(info / name)
    fixed = {**_FIXED, "core.repositoryformatversion": "0"}
    if repository.object_format != "sha1":
        fixed |= {"core.repositoryformatversion": "1", "extensions.objectformat": repository.object_format}
    wanted[git_dir / "config"] = config_text({**pinned, **fixed})
    users = repository.common_dir
    own = "".join(f"{pattern}\n" for pattern in excludes).encode("utf-8", "surrogateescape")
    wanted[info / "exclude"] = _read_if_there(users / "info/exclude").rstrip(b"\n") + b"\n" + own
    wanted[info / "attributes"] = _read_if_there(users / "info/attributes")
    wanted[git_dir / "objects/info/alternates"] = os.fsencode(users / "objects") + b"\n"
    _bring_up_to_date(wanted, made=made, shared=shared, top=repository.top)
    shallow = _read_if_there(users / "shallow")
    if not shallow:
        (git_dir / "shallow").unlink(missing_ok=True)
    elif _read_if_there(git_dir / "shallow") != shallow:
        put(git_dir / "shallow", shallow)
    user = repository.home / "user.gitconfig"
    attributes = wanted[info / "attributes"] + wanted[info / "user-attributes"]
    verbatim = not attributes.strip() and all(pinned.get(key, usual) == usual for key, usual in _VERBATIM)
    return replace(shadow, pins={**wanted, user: user.read_bytes()}, verbatim=verbatim)


def _make(git_dir: Path, repository: Repository) -> None:
    """An empty private repository, in one step: a git that is killed leaves locks, and half of one.

    Where there is one that is damaged, what it lacks is put back, and what it holds stays.
    """
    git_dir.parent.mkdir(parents=True, exist_ok=True)
    if git_dir.is_dir():
        for name in ("config.lock", "HEAD.lock", "HEAD"):
            (git_dir / name).unlink(missing_ok=True)
        put(git_dir / "config", b"")
    half = git_dir.with_name("shadow.git.new")
    remove(half)
    target = git_dir if git_dir.is_dir() else half
    git(
        ["init", "-q", "--bare", "--template=", f"--object-format={repository.object_format}", str(target)],
        cwd=repository.home, env=DEAF,
    )  # fmt: skip
    if target is half:
        half.rename(git_dir)


def _bring_up_to_date(wanted: Mapping[Path, bytes], *, made: bool, shared: bool, top: Path) -> None:
    """Bring the settings up to date, each in one step: another process may be reading them."""
    for file, data in wanted.items():
        if _read_if_there(file) == data and file.exists():
            continue
        if shared and not made:
            raise SetupError(
                f"{top}: a run that is going on was started with other settings ({file.name} of its private repository "
                "differs: ignored files, attributes, filters, what is copied or linked into workspaces); wait for it to end"
            )
        put(file, data)


def _default_user_file(name: str) -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return f"{base}/git/{name}"


def _read_if_there(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""
