"""The runner's private repository: how it sees an agent's files without trusting anything the agent can write.

Its git dir, configuration, indexes and objects are the runner's own; the user's objects are borrowed as an
alternate; a workspace is only ever its work tree. Attempts live here as refs, out of the user's sight.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..outcome import SetupError
from . import loose_objects
from .changes import ABSENT_MODE, Change, parents, shown
from .git import DEAF, GitError, git
from .objects import TREE_MODE, Entry, ObjectReader, Stored, format_tree, read_tree
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
                _replace(file, data)

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


def prepare(repository: Repository, excludes: Sequence[str], *, shared: bool = False) -> Shadow:
    """Create or refresh the private repository; `excludes` are patterns never seen in a workspace.

    The user's filters, line-ending and ignore settings are pinned here, before any agent has run. `shared`: other
    processes are using it. Raises SetupError where that would change their settings.
    """
    git_dir = repository.home / "shadow.git"
    shadow = Shadow(git_dir, repository, ObjectReader(git_dir, {**DEAF, "GIT_DIR": str(git_dir)}))
    made = not (
        (git_dir / "objects").is_dir() and (git_dir / "HEAD").is_file() and (git_dir / "refs").is_dir()
    )
    if made:
        git_dir.parent.mkdir(parents=True, exist_ok=True)
        git(
            [
                "init",
                "-q",
                "--bare",
                "--template=",
                f"--object-format={repository.object_format}",
                str(git_dir),
            ],
            cwd=repository.home,
            env=DEAF,
        )
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
    _put(wanted, made=made, shared=shared, top=repository.top)
    shallow = _read_if_there(users / "shallow")
    if not shallow:
        (git_dir / "shallow").unlink(missing_ok=True)
    elif _read_if_there(git_dir / "shallow") != shallow:
        _replace(git_dir / "shallow", shallow)
    user = repository.home / "user.gitconfig"
    attributes = wanted[info / "attributes"] + wanted[info / "user-attributes"]
    verbatim = not attributes.strip() and all(pinned.get(key, usual) == usual for key, usual in _VERBATIM)
    return replace(shadow, pins={**wanted, user: user.read_bytes()}, verbatim=verbatim)


def _put(wanted: Mapping[Path, bytes], *, made: bool, shared: bool, top: Path) -> None:
    """Bring the settings up to date, each in one step: another process may be reading them."""
    for file, data in wanted.items():
        if _read_if_there(file) == data and file.exists():
            continue
        if shared and not made:
            raise SetupError(
                f"{top}: a run that is going on was started with other settings ({file.name} of its private repository "
                "differs: ignored files, attributes, filters, what is copied or linked into workspaces); wait for it to end"
            )
        _replace(file, data)


def _replace(file: Path, data: bytes) -> None:
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(file)


def _default_user_file(name: str) -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return f"{base}/git/{name}"


def _read_if_there(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""


def diff(shadow: Shadow, old: str, new: str) -> tuple[Change, ...]:
    """Every path that differs between two trees or commits, sorted; a rename is a deletion and an addition."""
    absent = Entry(ABSENT_MODE, "0" * len(old))
    changes = []
    pending: list[tuple[bytes, str | None, str | None]] = [(b"", old, new)]
    while pending:
        folder, *trees = pending.pop()
        before, after = (read_tree(shadow, tree) for tree in trees)
        for name in {name for name, _ in before.items() ^ after.items()}:
            was, now = before.get(name, absent), after.get(name, absent)
            if TREE_MODE in (was.mode, now.mode):
                inner = [entry.object_id if entry.mode == TREE_MODE else None for entry in (was, now)]
                pending.append((folder + name + b"/", inner[0], inner[1]))
                was, now = (absent if entry.mode == TREE_MODE else entry for entry in (was, now))
            if was != now:
                changes.append(Change(folder + name, was.mode, now.mode, was.object_id, now.object_id))
    return tuple(sorted(changes, key=lambda change: change.path))


def patch(shadow: Shadow, old: str, new: str) -> bytes:
    """The difference as a patch that `git apply --binary` takes."""
    return shadow.git(
        "diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv",
        "--no-color", "--no-commit-id", "--src-prefix=a/", "--dst-prefix=b/", old, new,
    )  # fmt: skip


def readable_patch(shadow: Shadow, old: str, new: str) -> bytes:
    """The difference for people: of binary files it says only that they differ."""
    return shadow.git(
        "diff-tree", "-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--no-commit-id",
        "--src-prefix=a/", "--dst-prefix=b/", old, new,
    )  # fmt: skip


def write_blob(shadow: Shadow, data: bytes) -> str:
    return shadow.write("blob", data)


def compose(shadow: Shadow, tree: str, changes: Sequence[Change]) -> str:
    """The tree that `tree` becomes with `changes` applied: whole entries are set or removed, nothing is merged.

    Raises GitError where a path would be a file and a folder.
    """
    folders = {b"": read_tree(shadow, tree)}
    for change in changes:
        if change.deleted:
            folder, name = os.path.split(change.path)
            _folder(shadow, folders, folder).pop(name, None)
    # A file may make way for a folder of its name, or the other way round.
    for path in _inner_first(folders):
        parent, name = os.path.split(path)
        if not folders[path] and folders[parent].get(name, (None,))[0] == TREE_MODE:
            del folders[parent][name]
    for change in changes:
        if not change.deleted:
            folder, name = os.path.split(change.path)
            entries = _folder(shadow, folders, folder)
            if name in entries and entries[name].mode == TREE_MODE:
                raise _both(change.path)
            entries[name] = Entry(change.new_mode, change.new_object)
    written: dict[str, tuple[str, bytes]] = {}

    def write_tree(path: bytes) -> str:
        data = format_tree(folders[path])
        name = loose_objects.object_id("tree", data, shadow.repository.object_format)
        written[name] = ("tree", data)
        return name

    for path in _inner_first(folders):
        parent, name = os.path.split(path)
        if folders[path]:
            if folders[parent].get(name, (TREE_MODE,))[0] != TREE_MODE:
                raise _both(path)
            folders[parent][name] = Entry(TREE_MODE, write_tree(path))
    top = write_tree(b"")
    shadow.write_all(written)
    return top


def _folder(shadow: Shadow, folders: dict[bytes, dict[bytes, Entry]], path: bytes) -> dict[bytes, Entry]:
    """The entries of a folder, read when first asked for; none where there is no folder."""
    for inner in (*parents(path), path):
        if inner not in folders:
            parent, name = os.path.split(inner)
            entry = folders[parent].get(name)
            folders[inner] = read_tree(shadow, entry.object_id if entry and entry.mode == TREE_MODE else None)
    return folders[path]


def _inner_first(folders: Iterable[bytes]) -> list[bytes]:
    return sorted((path for path in folders if path), key=lambda path: path.count(b"/"), reverse=True)


def _both(path: bytes) -> GitError:
    return GitError(("compose",), 1, f"{shown(path)} would be both a file and a folder")


def conflicts(shadow: Shadow, base: str, tip: str, changes: Sequence[Change]) -> tuple[bytes, ...]:
    """Paths among `changes` that also differ between `base` and `tip`, at the path, above it or below it."""
    if base == tip:
        return ()
    moved = {change.path for change in diff(shadow, base, tip)}
    above = {parent for path in moved for parent in parents(path)}
    return tuple(
        change.path
        for change in changes
        if change.path in moved
        or change.path in above
        or any(parent in moved for parent in parents(change.path))
    )


def commit(shadow: Shadow, tree: str, parent: str, message: str) -> str:
    """A commit of the runner's, by the user's identity, now."""
    identity = shadow.repository.identity
    if identity is None:
        raise SetupError(
            f"{shadow.repository.top}: git does not know who commits here; set user.name and user.email"
        )
    by = f"{identity.name} <{identity.email}> {int(time.time())} {time.strftime('%z')}"
    text = message.replace("\0", "\ufffd").rstrip("\n")
    data = f"tree {tree}\nparent {parent}\nauthor {by}\ncommitter {by}\n\n{text}\n"
    return shadow.write("commit", data.encode("utf-8", "replace"))


def keep(shadow: Shadow, ref: str, object_id: str) -> None:
    """Store an attempt under a ref that must not exist yet; on disk when this returns. Raises GitError when it does.

    As git does it, without a process: the content goes into `REF.lock`, and that takes the ref's name.
    """
    file = shadow.git_dir / ref
    lock = file.with_name(f"{file.name}.lock")
    if (shadow.git_dir / "packed-refs").exists():  # somebody has packed them, and only git reads those
        shadow.git("update-ref", ref, object_id, "0" * len(object_id))
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock.open("x") as stream:
            try:
                stream.write(f"{object_id}\n")
                stream.flush()
                os.fsync(stream.fileno())
                os.link(lock, file)
            finally:
                lock.unlink()
    except FileExistsError as error:
        raise GitError(
            ("update-ref", ref), 128, f"{error.filename2 or error.filename} exists already"
        ) from error


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


def addition(path: bytes, object_id: str, mode: str = "100644") -> Change:
    return Change(path, ABSENT_MODE, mode, "0" * len(object_id), object_id)


def removal(path: bytes, object_id: str, mode: str = "100644") -> Change:
    return Change(path, mode, ABSENT_MODE, object_id, "0" * len(object_id))
