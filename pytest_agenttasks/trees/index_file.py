"""A git index read without git: whether a few files are, beyond doubt, as the index has them.

The format is git's `index-format` document, versions 2 and 3. Where anything is unusual the answer is "not known",
and git has to be asked.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .changes import SYMLINK_MODE
from .loose_objects import blob_id

_HEADER = struct.Struct(">4sII")
_STAT = struct.Struct(">10I")
_FLAGS = struct.Struct(">H")
_ASSUME_VALID, _EXTENDED, _STAGE, _NAME = 0x8000, 0x4000, 0x3000, 0x0FFF
_SEEN_EXTENSIONS = frozenset({b"TREE", b"REUC", b"UNTR", b"FSMN", b"EOIE", b"IEOT"})
_32_BITS = 0xFFFFFFFF
_SECOND = 1_000_000_000
_EMPTY_BLOBS = frozenset({blob_id(b"", "sha1"), blob_id(b"", "sha256")})


class Known(NamedTuple):
    """What the index has for one path: git's six octal digits, the hex id, and ten words of `lstat`."""

    mode: str
    object_id: str
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """An index as it was read. `names` are its paths, sorted."""

    names: Sequence[bytes]
    _places: Sequence[tuple[int, int]]
    _data: bytes
    _id_bytes: int

    def lookup(self, paths: Collection[bytes]) -> Mapping[bytes, Known] | None:
        """The plain entries among `paths`; None where one is in conflict, or flagged in any way."""
        found = {}
        for path in paths:
            position = bisect_left(self.names, path)
            if position == len(self.names) or self.names[position] != path:
                continue
            at, flags = self._places[position]
            if flags & (_ASSUME_VALID | _EXTENDED | _STAGE):
                return None
            found[path] = self._entry(at)
        return found

    def differing(
        self, files: Mapping[bytes, os.stat_result], index_mtime_ns: int
    ) -> dict[bytes, Known] | None:
        """The entries whose file is not among `files` (path → `lstat`), or not surely the one that the index had looked at;
        None where an entry is flagged in any way."""
        found = {}
        for path, (at, flags) in zip(self.names, self._places, strict=True):
            if flags & (_ASSUME_VALID | _EXTENDED | _STAGE):
                return None
            now = files.get(path)
            if (
                now is None
                or now.st_size == 0  # of an entry that git was not sure of it writes no size
                or now.st_mtime_ns >= index_mtime_ns
                or self._data[at : at + _STAT.size] != _STAT.pack(*_words(now))
            ):
                found[path] = self._entry(at)
        return found

    def _entry(self, at: int) -> Known:
        words = _STAT.unpack_from(self._data, at)
        object_id = self._data[at + _STAT.size : at + _STAT.size + self._id_bytes].hex()
        return Known(f"{words[6]:06o}", object_id, words)


def read(index: Path, id_bytes: int) -> Listing | None:
    """The index in this file; None where it is of a kind that only git understands."""
    data = index.read_bytes()
    try:
        entries = list(_entries(data, id_bytes))
    except (_OnlyGit, struct.error, ValueError):
        return None
    return Listing(
        [path for _, _, path in entries], [(at, flags) for at, flags, _ in entries], data, id_bytes
    )


def names(index: Path, id_bytes: int) -> Sequence[bytes] | None:
    """The paths that an index lists, sorted; None where only git can tell."""
    listing = read(index, id_bytes)
    return None if listing is None else listing.names


def digest(index: Path) -> str:
    """Of the whole file, "" where there is none."""
    try:
        return hashlib.sha256(index.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def mode_of(now: os.stat_result) -> int:
    """What git writes of a file's kind and permissions; a kind that it does not know stays as it is."""
    if stat.S_ISREG(now.st_mode):
        return 0o100755 if now.st_mode & stat.S_IXUSR else 0o100644
    return 0o120000 if stat.S_ISLNK(now.st_mode) else now.st_mode


def _words(now: os.stat_result) -> tuple[int, ...]:
    """What git writes of a file's `lstat` into an entry."""
    ctime, mtime = now.st_ctime_ns, now.st_mtime_ns
    return (
        ctime // _SECOND & _32_BITS, ctime % _SECOND, mtime // _SECOND & _32_BITS, mtime % _SECOND, now.st_dev & _32_BITS,
        now.st_ino & _32_BITS, mode_of(now), now.st_uid & _32_BITS, now.st_gid & _32_BITS, now.st_size & _32_BITS,
    )  # fmt: skip


class _OnlyGit(Exception):
    """The index is of another version, split, sparse, or cut short."""


def _entries(data: bytes, id_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """Where each entry begins, its flags and its path."""
    signature, version, count = _HEADER.unpack_from(data)
    if signature != b"DIRC" or version not in (2, 3):
        raise _OnlyGit
    at, fixed = _HEADER.size, _STAT.size + id_bytes
    read_flags = _FLAGS.unpack_from
    for _ in range(count):
        (flags,) = read_flags(data, at + fixed)
        start = at + fixed + (4 if flags & _EXTENDED else 2)
        length = flags & _NAME
        end = data.index(b"\0", start) if length == _NAME else start + length
        yield at, flags, data[start:end]
        at += (end - at + 8) & ~7
    while at < len(data) - id_bytes:
        if data[at : at + 4] not in _SEEN_EXTENSIONS:
            raise _OnlyGit  # entries are elsewhere
        at += 8 + int.from_bytes(data[at + 4 : at + 8])


def unchanged(known: Known, file: bytes, index_mtime_ns: int) -> bool:
    """Whether the file is surely the one that the index had looked at: every word of `lstat` the same, and older than
    the index or of the same content (an edit within the same tick would not show otherwise)."""
    try:
        now = os.lstat(file)
    except OSError:
        return False
    if known.words[9] == 0 and now.st_size == 0 and known.object_id not in _EMPTY_BLOBS:
        return False  # git writes no size where it was not sure itself
    if _words(now) != known.words:
        return False
    return now.st_mtime_ns < index_mtime_ns or _content(file, known) == known.object_id


def _content(file: bytes, known: Known) -> str:
    """The id of the file's bytes as they are, "" where they cannot be read. Filters may make git think otherwise of
    them, and then git is asked."""
    try:
        data = content(file, known.mode)
    except OSError:
        return ""
    return blob_id(data, "sha1" if len(known.object_id) == 40 else "sha256")


def content(file: bytes, mode: str) -> bytes:
    """The bytes of a file, or of where a link leads; `mode` are git's six octal digits. Raises OSError."""
    if mode == SYMLINK_MODE:
        return os.fsencode(Path(os.fsdecode(file)).readlink())
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        return stream.read()
