"""What git does not see in a workspace: one walk that finds the oddities before git is let near the files."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .changes import shown

RULE_FILES = (b".gitattributes", b".gitignore")
"""What steers how git sees the other files of its folder and below."""
MAX_FILE = 100 * 1024 * 1024
"""Bytes; a larger file is neither stored nor landed (a 4 GB sparse file keeps git busy for half a minute)."""


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


def walk(top: Path, skip: Collection[bytes]) -> Iterator[tuple[bytes, os.DirEntry[bytes] | None, str | None]]:
    """Every file and folder below `top` but its own `.git` and what `skip` names.

    Yields (path, entry, None), and (path, None, reason) for a folder that cannot be read. Children of a
    folder come right after it; symbolic links are not followed.
    """
    root = os.fsencode(top)
    pending: list[bytes] = [b""]
    while pending:
        folder = pending.pop()
        try:
            scan = os.scandir(root + b"/" + folder if folder else root)
        except OSError as error:
            yield folder, None, f"cannot be read ({error.strerror})"
            continue
        with scan:
            for entry in scan:
                path = folder + b"/" + entry.name if folder else entry.name
                if path == b".git" or path in skip:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                yield path, entry, None


def survey(top: Path, skip: Collection[bytes]) -> Survey:
    """Look at every entry of a workspace, apart from the declared dependencies and caches in `skip`."""
    oddities: list[Oddity] = []
    rules: list[bytes] = []
    filled: set[bytes] = set()
    folders: set[bytes] = set()
    files: dict[bytes, os.stat_result] = {}
    for path, entry, trouble in walk(top, skip):
        if entry is None:
            oddities.append(Oddity(path, f"folder {trouble}"))
            filled.add(path)
            continue
        filled.add(path.rpartition(b"/")[0])
        name = entry.name
        if is_git_name(name):
            oddities.append(Oddity(path, "nested git repository or a twin of .git"))
        if name in RULE_FILES:
            rules.append(path)
        if entry.is_dir(follow_symlinks=False):
            folders.add(path)
            continue
        found = files[path] = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            continue
        if not stat.S_ISREG(found.st_mode):
            oddities.append(Oddity(path, f"{_kind(found.st_mode)}, not a regular file"))
        elif found.st_nlink > 1:
            oddities.append(Oddity(path, "hard link", found.st_size))
        elif found.st_size > MAX_FILE:
            oddities.append(Oddity(path, f"larger than {MAX_FILE // 1024 // 1024} MB", found.st_size))
        elif not found.st_mode & stat.S_IRUSR:
            oddities.append(Oddity(path, "unreadable file", found.st_size))
    return Survey(tuple(oddities), tuple(rules), tuple(sorted(folders - filled)), files)


def is_git_name(name: bytes) -> bool:
    """Whether git, or git on another file system, would take `name` for a `.git`."""
    if name[:1] not in (b".", b"g", b"G") and name.isascii():
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
