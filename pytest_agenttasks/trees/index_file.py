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

from .loose_objects import blob_id

_HEADER = struct.Struct(">4sII")
_STAT = struct.Struct(">10I")
_FLAGS = struct.Struct(">H")
_ASSUME_VALID, _EXTENDED, _STAGE, _NAME = 0x8000, 0x4000, 0x3000, 0x0FFF
_SEEN_EXTENSIONS = frozenset({b"TREE", b"REUC", b"UNTR", b"FSMN", b"EOIE", b"IEOT"})
_32_BITS = 0xFFFFFFFF
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
            words = _STAT.unpack_from(self._data, at)
            object_id = self._data[at + _STAT.size : at + _STAT.size + self._id_bytes].hex()
            found[path] = Known(f"{words[6]:06o}", object_id, words)
        return found


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
    if stat.S_ISLNK(now.st_mode):
        mode = "120000"
    elif stat.S_ISREG(now.st_mode):
        mode = "100755" if now.st_mode & stat.S_IXUSR else "100644"
    else:
        return False
    second = 1_000_000_000
    words = (
        *divmod(now.st_ctime_ns, second), *divmod(now.st_mtime_ns, second), now.st_dev, now.st_ino, known.words[6],
        now.st_uid, now.st_gid, now.st_size,
    )  # fmt: skip
    if known.words[9] == 0 and now.st_size == 0 and known.object_id not in _EMPTY_BLOBS:
        return False  # git writes no size where it was not sure itself
    same = tuple(word & _32_BITS for word in words) == known.words
    if not same or mode != known.mode:
        return False
    return now.st_mtime_ns < index_mtime_ns or _content(file, mode, len(known.object_id)) == known.object_id


def _content(file: bytes, mode: str, digits: int) -> str:
    """The id of the file's bytes as they are, "" where they cannot be read. Filters may make git think otherwise of
    them, and then git is asked."""
    try:
        if mode == "120000":
            data = os.fsencode(Path(os.fsdecode(file)).readlink())
        else:
            handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as stream:
                data = stream.read()
    except OSError:
        return ""
    return blob_id(data, "sha1" if digits == 40 else "sha256")
