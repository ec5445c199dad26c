"""What git does not see in a workspace: one walk that finds the oddities before git is let near the files."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .changes import shown

RULE_FILES = (b".gitattributes", b".gitignore")
"""What steers how git sees the other files of its folder and below."""
MAX_FILE = 100 * 1024 * 1024
"""Bytes; a larger file is neither stored nor landed (a 4 GB sparse file keeps git busy for half a minute)."""


_OF_GIT = frozenset((b".", b"g", b"G"))
"""How every name begins, if it is ASCII, that is git's or that git could be led to take for its own."""
_NESTED = "nested git repository or a twin of .git"
_USUAL_FILE = stat.S_IFREG | stat.S_IRUSR
_USUAL = 0o170000 | stat.S_IRUSR


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that git would miss, refuse or choke on. `reason` is for people and for the agent."""

    path: bytes
    reason: str
    size: int | None = None

    @property
    def name(self) -> str:
        return shown(self.path)

    @property
    def large(self) -> bool:
        """Whether it is odd for its size only."""
        return self.reason.startswith("larger than")


@dataclass(frozen=True, slots=True)
class Survey:
    """One walk's findings; `rules` are the `.gitattributes` and `.gitignore` files that it met, `empty` the empty
    folders, `files` everything that is no folder, with its `lstat`."""

    oddities: tuple[Oddity, ...]
    rules: tuple[bytes, ...]
    empty: tuple[bytes, ...]
    files: Mapping[bytes, os.stat_result]


@dataclass(frozen=True, slots=True)
class Folder:
    """What is in one folder: its `files` are everything that is no folder. `path` ends in `/`, that of the top is empty."""

    path: bytes
    files: Sequence[os.DirEntry[bytes]] = ()
    folders: Sequence[bytes] = ()
    trouble: str | None = None
    """Why it cannot be read."""


def walk(top: Path, skip: Collection[bytes]) -> Iterator[Folder]:
    """Every folder below `top` and that itself, without its own `.git` and what `skip` names; no links are followed.

    A folder at a time, as a walk is a good part of what a task costs.
    """
    root = os.fsencode(top) + b"/"
    passed_over = {b".git", *skip}
    pending = [b""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(root + prefix) as scan:
                entries = [entry for entry in scan if prefix + entry.name not in passed_over]
        except OSError as error:
            yield Folder(prefix, trouble=f"cannot be read ({error.strerror})")
            continue
        folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        files = (
            [entry for entry in entries if not entry.is_dir(follow_symlinks=False)] if folders else entries
        )
        yield Folder(prefix, files, folders)
        pending += [prefix + name + b"/" for name in folders]


def survey(top: Path, skip: Collection[bytes]) -> Survey:
    """Look at every entry of a workspace, apart from the declared dependencies and caches in `skip`."""
    oddities: list[Oddity] = []
    rules: list[bytes] = []
    empty: list[bytes] = []
    files: dict[bytes, os.stat_result] = {}
    for folder in walk(top, skip):
        prefix = folder.path
        if folder.trouble is not None:
            oddities.append(Oddity(prefix[:-1], f"folder {folder.trouble}"))
        elif prefix and not folder.files and not folder.folders:
            empty.append(prefix[:-1])
        for name in folder.folders:
            if is_git_name(name):
                oddities.append(Oddity(prefix + name, _NESTED))
        for entry in folder.files:
            name = entry.name
            path = prefix + name
            found = files[path] = entry.stat(follow_symlinks=False)
            if name[:1] in _OF_GIT or not name.isascii():
                if is_git_name(name):
                    oddities.append(Oddity(path, _NESTED))
                if name in RULE_FILES:
                    rules.append(path)
            if found.st_mode & _USUAL != _USUAL_FILE or found.st_nlink > 1 or found.st_size > MAX_FILE:
                oddities += _unusual(path, found)
    return Survey(tuple(oddities), tuple(rules), tuple(sorted(empty)), files)


def _unusual(path: bytes, found: os.stat_result) -> Iterator[Oddity]:
    """What is odd about an entry that is no folder, by its `lstat`."""
    if stat.S_ISLNK(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        yield Oddity(path, f"{_kind(found.st_mode)}, not a regular file")
    elif found.st_nlink > 1:
        yield Oddity(path, "hard link", found.st_size)
    elif found.st_size > MAX_FILE:
        yield Oddity(path, f"larger than {MAX_FILE // 1024 // 1024} MB", found.st_size)
    elif not found.st_mode & stat.S_IRUSR:
        yield Oddity(path, "unreadable file", found.st_size)


def is_git_name(name: bytes) -> bool:
    """Whether git, or git on another file system, would take `name` for a `.git`."""
    if name[:1] not in _OF_GIT and name.isascii():
        return False
    folded = name.decode("utf-8", "surrogateescape").replace("‌", "").rstrip(" .").casefold()
    return folded in (".git", "git~1")


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "character device"),
        (stat.S_ISBLK, "block device"),
    ):
        if test(mode):
            return word
    return "special file"


def leaves(path: bytes, target: bytes) -> bool:
    """Whether a symbolic link at `path` (relative to the top) with this target points out of the repository."""
    if target.startswith(b"/") or b"\0" in target:
        return True
    depth = path.count(b"/")
    down = False
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
            # After a step down, `..` goes up from wherever another link may have led.
            if depth < 0 or down:
                return True
        elif part not in (b"", b"."):
            down = True
            if is_git_name(part):
                return True
    return False
