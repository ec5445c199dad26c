"""What a place needs besides tracked files: copied from the user's checkout, linked, or made by `workspace.setup`.

They are kept from task to task and made anew when their inputs change, or when something touched them: a
poisoned dependency would make every later gate green.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from ..outcome import SetupError
from ..processes.supervisor import Finished
from ..report.printable import tail_of_file
from ..settings.records import WorkspaceSettings
from .changes import shown
from .git import split
from .objects import entries
from .places import Place
from .removal import remove
from .shadow import Shadow
from .survey import walk

INCLUDE_FILE = ".worktreeinclude"
STAMP = "dependencies.msgpack"
USUAL_INPUTS = (
    "package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "yarn.lock",
    "pyproject.toml", "uv.lock", "poetry.lock", "setup.py", "setup.cfg", "requirements.txt", "requirements-dev.txt",
    "bun.lock", "Cargo.lock", "go.sum", "Gemfile.lock", "composer.lock",
)  # fmt: skip
"""What decides about the dependencies where `setup_inputs` says nothing."""
SCRATCH = (".cache", ".vite")
"""Folders in node_modules that tools write their caches to, also in the user's checkout."""


UNREADABLE = (0, 0, 0, 0)


class Manifest(msgspec.Struct, frozen=True):
    """What was provided: the digest of its inputs, its top-most paths, and each file's size, mtime, ctime and inode."""

    inputs: str
    roots: tuple[bytes, ...]
    files: dict[bytes, tuple[int, int, int, int]]


class SetupFailed(Exception):
    """`workspace.setup` did not end with exit status 0."""

    def __init__(self, command: str, finished: Finished, log: Path) -> None:
        ended = (
            f"exit status {finished.exit_code}" if finished.signal is None else f"signal {finished.signal}"
        )
        how = finished.stopped or ended
        super().__init__(f"workspace.setup `{command}` failed ({how})")
        self.log = log
        self.evidence = tail_of_file(log)


@dataclass(frozen=True, slots=True)
class Provider:
    """How dependencies are provided in one repository. `run` starts a shell line in a place under the supervisor."""

    shadow: Shadow
    settings: WorkspaceSettings
    run: Callable[[Place, str, Path, float], Finished]
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def caches(self) -> tuple[bytes, ...]:
        return tuple(git_path(path) for path in self.settings.cache)

    def kept(self, where: Place) -> tuple[bytes, ...]:
        """The paths in this place that outlive a move to another tree."""
        manifest = _load(where)
        return (*self.caches(), *(manifest.roots if manifest else ()))

    def digest(self, tree: str) -> str:
        """Identifies what the dependencies are made from, for `tree`."""
        settings = self.settings
        named = settings.setup_inputs or (USUAL_INPUTS if settings.setup else ())
        inputs = entries(self.shadow, tree, map(git_path, named))
        sources = [(path, _times(self.source(path))) for path in self.copied()]
        told = repr((settings.setup, settings.link, sorted(inputs.items()), sources))
        return hashlib.sha256(told.encode()).hexdigest()

    def fresh(self, where: Place, tree: str) -> tuple[bool, tuple[str, ...]]:
        """Whether the place's dependencies are the right ones and untouched, and up to five touched paths.

        What was merely added (a tool's cache in node_modules) is removed.
        """
        manifest = _load(where)
        if manifest is None:
            return not self._wanted(), ()
        if manifest.inputs != self.digest(tree):
            return False, ()
        now = _listing(where, manifest.roots, self.caches())
        for path in now.keys() - manifest.files.keys():
            if now[path] == UNREADABLE:
                return False, (shown(path),)
            _remove_added(where.path, os.fsdecode(path))
            del now[path]
        touched = [path for path in manifest.files if now.get(path) != manifest.files[path]]
        return not touched, tuple(shown(path) for path in sorted(touched)[:5])

    def provide(self, where: Place, tree: str, tracked: Callable[[], set[bytes]]) -> None:
        """Make the dependencies anew in a place that holds exactly `tree`. Raises SetupFailed or SetupError."""
        manifest = _load(where)
        (where.root / STAMP).unlink(missing_ok=True)
        for root in manifest.roots if manifest else ():
            remove(where.path / os.fsdecode(root))
        for path in self.copied():
            self._copy(path, where)
        for path in self.settings.link:
            self._link(path, where)
        if self.settings.setup:
            log = where.root / "setup.log"
            finished = self.run(where, self.settings.setup, log, self.settings.setup_timeout)
            if not finished.ok:
                raise SetupFailed(self.settings.setup, finished, log)
        roots = _untracked_roots(where, tracked(), self.caches())
        made = Manifest(self.digest(tree), roots, _listing(where, roots, self.caches()))
        temporary = where.root / f"{STAMP}.new"
        temporary.write_bytes(msgspec.msgpack.encode(made))
        temporary.replace(where.root / STAMP)

    def _wanted(self) -> bool:
        return bool(self.settings.setup or self.settings.link or self.copied())

    def source(self, path: str) -> Path:
        return self.shadow.repository.top / path

    def present(self, key: str, path: str) -> Path:
        """The user's file or folder that `workspace.KEY` names. Raises SetupError when it is not there."""
        source, repository = self.source(path), self.shadow.repository
        if source.exists():
            return source
        main = repository.common_dir.parent / path  # of a linked worktree; it begins without ignored files
        where = (
            f"copy it from your main checkout: `cp -a {shlex.quote(str(main))} {shlex.quote(str(source))}`"
        )
        raise SetupError(
            f"workspace.{key}: `{path}` is not in {repository.top}; "
            f"{where if main.exists() else 'make it there first'} (or remove it from the settings)"
        )

    def copied(self) -> tuple[str, ...]:
        """Paths to copy, none inside another; what `.worktreeinclude` adds is looked up once in a run."""
        if "copied" not in self._known:
            named = {PurePosixPath(path).as_posix() for path in (*self.settings.copy, *self._included())}
            self._known["copied"] = tuple(
                sorted(p for p in named if not any(map(named.__contains__, _above(p))))
            )
        return self._known["copied"]

    def _included(self) -> Iterator[str]:
        """What `.worktreeinclude` matches and git ignores."""
        repository = self.shadow.repository
        rules = repository.top / INCLUDE_FILE
        if not rules.is_file():
            return

        def listed(rule: str) -> set[str]:
            output = repository.git("ls-files", "-z", "--others", "--ignored", "--directory", rule)
            return {os.fsdecode(path.rstrip(b"/")) for path in split(output)}

        matched, ignored = listed(f"--exclude-from={rules}"), listed("--exclude-standard")
        for mine, other in ((matched, ignored), (ignored, matched)):
            yield from (path for path in mine if path in other or not other.isdisjoint(_above(path)))

    def _copy(self, path: str, where: Place) -> None:
        source, target = self.present("copy", path), where.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # -H: a folder that is a link (to another disk, say) is copied, too.
        clone = ["cp", "-aH", "-c"] if sys.platform == "darwin" else ["cp", "-aH", "--reflink=auto"]
        copied = subprocess.run([*clone, "--", source, target], capture_output=True, text=True, check=False)
        if copied.returncode != 0:
            raise SetupError(
                f"workspace.copy: `{path}` could not be copied to {target}: {copied.stderr.strip()[-500:]}"
            )

    def _link(self, path: str, where: Place) -> None:
        source, target = self.present("link", path), where.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


def _times(source: Path) -> tuple[tuple[str, int, int], ...]:
    """Size and time stamp of a file, or of a folder and what lies right in it."""
    try:
        stats = [(source.name, source.stat())]
        if source.is_dir():
            stats += [
                (path.name, path.lstat()) for path in sorted(source.iterdir()) if path.name not in SCRATCH
            ]
    except FileNotFoundError:
        return ()
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in stats)


def _remove_added(top: Path, path: str) -> None:
    """Delete a file or link, and the folders around it that are empty now."""
    (top / path).unlink(missing_ok=True)
    for parent in PurePosixPath(path).parents:
        try:
            (top / parent).rmdir()
        except OSError:
            return


def _above(path: str) -> Iterator[str]:
    return (str(parent) for parent in PurePosixPath(path).parents)


def git_path(path: str) -> bytes:
    return os.fsencode(path.removeprefix("./").rstrip("/"))


def _load(where: Place) -> Manifest | None:
    unreadable = Manifest("unreadable", (), {})
    file = where.root / STAMP
    if not file.is_file():
        return None
    try:
        found = msgspec.msgpack.decode(file.read_bytes(), type=Manifest)
    except msgspec.DecodeError:
        return unreadable
    # It lies beside the files, so an agent may have written it, and what it names is removed.
    return found if all(map(_is_below, found.roots)) else unreadable


def _is_below(path: bytes) -> bool:
    return all(part not in (b"", b".", b"..") for part in path.split(b"/"))


def _listing(
    where: Place, roots: tuple[bytes, ...], caches: tuple[bytes, ...]
) -> dict[bytes, tuple[int, int, int, int]]:
    found: dict[bytes, tuple[int, int, int, int]] = {}
    top = os.fsencode(where.path)

    def add(path: bytes, status: os.stat_result) -> None:
        found[path] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    for root in roots:
        place = top + b"/" + root
        try:
            status = os.lstat(place)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            add(root, status)
            continue
        found[root] = (status.st_mode, 0, 0, 0)
        inside = {cache[len(root) + 1 :] for cache in caches if cache.startswith(root + b"/")}
        for folder in walk(Path(os.fsdecode(place)), inside):
            prefix = root + b"/" + folder.path
            if folder.trouble is not None:
                found[prefix[:-1]] = UNREADABLE
            for entry in folder.files:
                add(prefix + entry.name, entry.stat(follow_symlinks=False))
    return found


def _untracked_roots(where: Place, tracked: set[bytes], caches: tuple[bytes, ...]) -> tuple[bytes, ...]:
    folders = {path[:n] for path in tracked for n, c in enumerate(path) if c == 0x2F}
    roots: list[bytes] = []
    for folder in walk(where.path, caches):
        for name in (*folder.folders, *(entry.name for entry in folder.files)):
            path = folder.path + name
            if (
                path in tracked
                or path in folders
                or any(path.startswith(root + b"/") for root in roots[-64:])
            ):
                continue
            roots.append(path)
    unique = set(roots)
    return tuple(sorted(r for r in roots if not any(r[:n] in unique for n, c in enumerate(r) if c == 0x2F)))
