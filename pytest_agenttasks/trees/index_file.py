"""A git index read without git: whether a few files are, beyond doubt, as the index has them.

The format is git's `index-format` document, versions 2 and 3. Where anything is unusual the answer is "not known",
and git has to be asked.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct(">4sII")
_STAT = struct.Struct(">10I")
_FLAGS = struct.Struct(">H")
_ASSUME_VALID, _EXTENDED, _STAGE, _NAME = 0x8000, 0x4000, 0x3000, 0x0FFF
_SEEN_EXTENSIONS = frozenset({b"TREE", b"REUC", b"UNTR", b"FSMN", b"EOIE", b"IEOT"})
_32_BITS = 0xFFFFFFFF


class Known(NamedTuple):
    """What the index has for one path: git's six octal digits, the hex id, and ten words of `lstat`."""

    mode: str
    object_id: str
    words: tuple[int, ...]


def lookup(index: Path, paths: Collection[bytes], id_bytes: int) -> Mapping[bytes, Known] | None:
    """The plain entries among `paths`; None where the index is of a kind that only git understands.

    A path that is in conflict, or flagged in any way, makes it None as well.
    """
    data = index.read_bytes()
    if len(data) < _HEADER.size + id_bytes:
        return None
    signature, version, count = _HEADER.unpack_from(data)
    if signature != b"DIRC" or version not in (2, 3):
        return None
    found = {}
    at, fixed = _HEADER.size, _STAT.size + id_bytes
    read_flags = _FLAGS.unpack_from
    wanted = frozenset(paths)
    try:
        for _ in range(count):
            (flags,) = read_flags(data, at + fixed)
            start = at + fixed + (4 if flags & _EXTENDED else 2)
            length = flags & _NAME
            end = data.index(b"\0", start) if length == _NAME else start + length
            if data[start:end] in wanted:
                if flags & (_ASSUME_VALID | _EXTENDED | _STAGE):
                    return None
                words = _STAT.unpack_from(data, at)
                object_id = data[at + _STAT.size : at + fixed].hex()
                found[data[start:end]] = Known(f"{words[6]:06o}", object_id, words)
            at += (end - at + 8) & ~7
        while at < len(data) - id_bytes:
            if data[at : at + 4] not in _SEEN_EXTENSIONS:
                return None  # a split or a sparse index: entries are elsewhere
            at += 8 + int.from_bytes(data[at + 4 : at + 8])
    except (struct.error, ValueError):
        return None
    return found


def entry_count(index: Path) -> int:
    """How many entries an index has."""
    with index.open("rb") as file:
        return int.from_bytes(file.read(_HEADER.size)[8:])


def unchanged(known: Known, file: bytes, index_mtime_ns: int) -> bool:
    """Whether the file is surely the one that the index had looked at: every word of `lstat` the same, and older
    than the index (an edit within the same tick would not show)."""
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
    same = tuple(word & _32_BITS for word in words) == known.words
    return same and mode == known.mode and now.st_mtime_ns < index_mtime_ns
