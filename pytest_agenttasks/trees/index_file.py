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
_EMPTY_IDS = frozenset(map(bytes.fromhex, _EMPTY_BLOBS))


class Known(NamedTuple):
    """What the index has for one path: git's six octal digits, the hex id, and ten words of `lstat`."""

    mode: str
    object_id: str
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """An index as it was read, or is to be. `names` are its paths, sorted, `data` the whole file."""

    names: Sequence[bytes]
    _places: Sequence[tuple[int, int]]
    data: bytes
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
        data, id_bytes, unpack, file_of = self.data, self._id_bytes, _STAT.unpack_from, files.get
        modes: dict[int, int] = {}
        found = {}
        for path, (at, flags) in zip(self.names, self._places, strict=True):
            if flags & (_ASSUME_VALID | _EXTENDED | _STAGE):
                return None
            now = file_of(path)
            if now is not None and now.st_mtime_ns < index_mtime_ns:
                mode = modes.get(now.st_mode)
                if mode is None:
                    mode = modes[now.st_mode] = mode_of(now)
                ctime, ctime_ns, mtime, mtime_ns, device, inode, kind, user, group, size = unpack(data, at)
                if (
                    mtime * _SECOND + mtime_ns == now.st_mtime_ns
                    and ctime * _SECOND + ctime_ns == now.st_ctime_ns
                    and size == now.st_size
                    and inode == now.st_ino & _32_BITS
                    and kind == mode
                    and device == now.st_dev & _32_BITS
                    and user == now.st_uid & _32_BITS
                    and group == now.st_gid & _32_BITS
                    # Of an entry that git was not sure of it writes no size.
                    and (size or data[at + _STAT.size : at + _STAT.size + id_bytes] in _EMPTY_IDS)
                ):
                    continue
            found[path] = self._entry(at)
        return found

    def plain(self, skip: Collection[bytes]) -> bool:
        """Whether no attributes are among the paths, and none of them lies where `skip` says that nobody looks."""
        unseen = tuple(path + b"/" for path in skip)
        return not any(
            path.endswith(b".gitattributes") or path in skip or (unseen and path.startswith(unseen))
            for path in self.names
        )

    def with_entries(self, updates: Mapping[bytes, tuple[str, Sequence[int]] | None]) -> Listing:
        """This index, whose entries are plain ones, with some replaced, added (hex id and `words_of` the file) or taken
        out: version 2, without extensions."""
        names: list[bytes] = []
        places: list[tuple[int, int]] = []
        parts = [_HEADER.pack(b"DIRC", 2, 0)]
        size = _HEADER.size

        def copy(first: int, last: int) -> None:
            """The entries from `first` up to `last`."""
            nonlocal size
            if first == last:
                return
            start, end = self._places[first][0], self._end(last - 1)
            shift = size - start
            names.extend(self.names[first:last])
            old = self._places[first:last]
            places.extend(old if not shift else [(at + shift, flags) for at, flags in old])
            parts.append(self.data[start:end])
            size += end - start

        done = 0
        for path in sorted(updates):
            position = bisect_left(self.names, path, done)
            copy(done, position)
            done = position + (position < len(self.names) and self.names[position] == path)
            update = updates[path]
            if update is not None:
                object_id, words = update
                flags = min(len(path), _NAME)
                entry = _STAT.pack(*words) + bytes.fromhex(object_id) + _FLAGS.pack(flags) + path
                names.append(path)
                places.append((size, flags))
                parts.append(entry + bytes(8 - len(entry) % 8))
                size += len(parts[-1])
        copy(done, len(self.names))
        parts[0] = _HEADER.pack(b"DIRC", 2, len(names))
        whole = b"".join(parts)
        whole += hashlib.new(
            "sha1" if self._id_bytes == 20 else "sha256", whole, usedforsecurity=False
        ).digest()
        return Listing(names, places, whole, self._id_bytes)

    def _end(self, position: int) -> int:
        """Where the entry at this position ends in the data."""
        begins = self._places[position][0]
        return begins + (_STAT.size + self._id_bytes + _FLAGS.size + len(self.names[position]) + 8 & ~7)

    def _entry(self, at: int) -> Known:
        words = _STAT.unpack_from(self.data, at)
        object_id = self.data[at + _STAT.size : at + _STAT.size + self._id_bytes].hex()
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


def words_of(now: os.stat_result) -> tuple[int, ...]:
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
    if words_of(now) != known.words:
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
