"""Objects on their way from one machine to another: as git packs, a piece at a time, and only what the other side lacks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from ..trees.git import GitError

PIECE = 1024 * 1024
"""Bytes of a pack that are sent at a time."""
FEW = 100
"""Objects; as many git stores one by one, since each pack that is kept makes every later look-up slower."""


class Store(Protocol):
    """A repository, the user's or a private one."""

    def git(self, *args: str, stdin: bytes | Path | None = None) -> bytes: ...


def pieces(
    store: Store, folder: Path, wanted: Sequence[str], without: Sequence[str], files_of: str = ""
) -> Iterator[bytes]:
    """A pack of `wanted` (commits, tags, trees) without what belongs to the commits `without`; nothing where that is nothing.

    `files_of` is one more commit, whose own files are left out: of those in `without` git leaves out, for a tree that
    belongs to no commit, nothing. The pack lies in a temporary folder in `folder` until the last piece is taken.
    """
    if not wanted:
        return
    known = (*without, *([f"{files_of}^{{tree}}"] if files_of else []))
    asked = "".join(f"{name}\n" for name in (*wanted, *(f"^{name}" for name in known)))
    with tempfile.TemporaryDirectory(prefix="agenttasks-pack-", dir=folder) as temporary:
        prefix = str(Path(temporary, "out"))
        store.git("pack-objects", "--revs", "-q", "--delta-base-offset", prefix, stdin=asked.encode())
        for pack in sorted(Path(temporary).glob("out-*.pack")):
            with pack.open("rb") as stream:
                while piece := stream.read(PIECE):
                    yield piece


class Arriving:
    """A pack that comes piece by piece; `file` holds what has come."""

    def __init__(self, file: Path, stream: BinaryIO) -> None:
        self.file = file
        self._stream = stream

    def add(self, piece: bytes) -> None:
        self._stream.write(piece)

    def unpack(self, store: Store, *, strict: bool) -> None:
        """Store what has come, on disk when this returns; `strict`: refuse broken objects. Raises GitError."""
        self._stream.flush()
        if not (count := _objects(self.file)):
            return
        check = ("--strict",) if strict else ()
        if count < FEW:
            store.git("unpack-objects", "-q", *check, stdin=self.file)
        else:
            store.git("index-pack", "--stdin", *check, stdin=self.file)


@contextmanager
def arriving(folder: Path) -> Iterator[Arriving]:
    with tempfile.NamedTemporaryFile(prefix="agenttasks-pack-", dir=folder) as stream:
        yield Arriving(Path(stream.name), stream)  # type: ignore[arg-type]


def present(store: Store, names: Sequence[str]) -> list[str]:
    """Those of the objects `names` that the repository has."""
    if not names:
        return []
    asked = "".join(f"{name}\n" for name in names).encode()
    answers = store.git("cat-file", "--batch-check=%(objectname)", stdin=asked).decode().splitlines()
    return [answer for answer in answers if " " not in answer]


def whole(store: Store, tree: str, files_of: str = "") -> bool:
    """Whether everything that the tree refers to is there; what the commit `files_of` has, too, is not looked at."""
    known = [f"^{files_of}^{{tree}}"] if files_of else []
    try:
        store.git("rev-list", "--objects", "--quiet", tree, *known)
    except GitError:
        return False
    return True


def _objects(file: Path) -> int:
    with file.open("rb") as stream:
        head = stream.read(12)
    return int.from_bytes(head[8:12], "big") if head.startswith(b"PACK") else 0
