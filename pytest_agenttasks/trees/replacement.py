"""The files of a tree, and the tree that it becomes with other content in many of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .composition import write_blob
from .git import split
from .shadow import Shadow


class File(NamedTuple):
    """A tracked path that is no folder: git's path, six octal digits of mode, and hex id."""

    path: bytes
    mode: str
    object_id: str

    @property
    def name(self) -> str:
        return self.path.decode("utf-8", "surrogateescape")


def files_of(shadow: Shadow, tree: str) -> tuple[File, ...]:
    """All files, links and gitlinks of a tree, in git's order."""
    found = []
    for line in split(shadow.git("ls-tree", "-r", "-z", "--full-tree", tree)):
        head, _, path = line.partition(b"\t")
        mode, _, object_id = head.decode().split()
        found.append(File(path, mode, object_id))
    return tuple(found)


def replaced(shadow: Shadow, tree: str, contents: Iterable[tuple[File, bytes]], index: Path) -> str:
    """The tree with this content in these files, in their modes. Through an index of git's, unlike `compose`: they may
    be a hundred thousand, and each folder written alone is flushed. `index` is a file that nobody else uses."""
    index.unlink(missing_ok=True)
    blobs: dict[bytes, bytes] = {}
    lines = []
    for file, data in contents:
        if data not in blobs:
            blobs[data] = write_blob(shadow, data).encode()
        lines.append(b"%s %s 0\t%s\0" % (file.mode.encode(), blobs[data], file.path))
    try:
        shadow.git("read-tree", tree, index=index)
        shadow.git("update-index", "-z", "--index-info", index=index, stdin=b"".join(lines))
        return shadow.git("write-tree", index=index).decode().strip()
    finally:
        index.unlink(missing_ok=True)
