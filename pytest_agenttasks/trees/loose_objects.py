"""Loose objects, written and handed on without a git process: a few at a time, flushed to disk together."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

TOGETHER = 64
"""Files that are open at a time, well below what a process may have."""


def object_id(kind: str, data: bytes, object_format: str) -> str:
    """The id that git gives an object with this content."""
    return hashlib.new(object_format, _whole(kind, data), usedforsecurity=False).hexdigest()


def blob_id(data: bytes, object_format: str) -> str:
    """The id that git gives these bytes as a file's content."""
    return object_id("blob", data, object_format)


def _whole(kind: str, data: bytes) -> bytes:
    return f"{kind} {len(data)}\0".encode() + data


def write(objects: Path, contents: Mapping[str, tuple[str, bytes]]) -> None:
    """Store `contents` (id → kind and data) in the folder `objects` of a repository; on disk when this returns."""
    _install(
        objects,
        {
            name: zlib.compress(_whole(*content), 1)
            for name, content in contents.items()
            if not _file(objects, name).exists()
        },
    )


def hand_on(source: Path, target: Path, names: Iterable[str], object_format: str) -> list[str]:
    """Copy the objects `names` from one repository's folder to another's; on disk when this returns.

    Returns those that are in neither as a whole loose object: packed, borrowed, or damaged.
    """
    found, elsewhere = {}, []
    for name in names:
        if _file(target, name).exists():
            continue
        try:
            stored = _file(source, name).read_bytes()
            whole = hashlib.new(object_format, zlib.decompress(stored), usedforsecurity=False).hexdigest()
        except (FileNotFoundError, zlib.error):
            whole = ""
        if whole == name:
            found[name] = stored
        else:
            elsewhere.append(name)
    _install(target, found)
    return elsewhere


def _file(objects: Path, name: str) -> Path:
    return objects / name[:2] / name[2:]


def _install(objects: Path, files: Mapping[str, bytes]) -> None:
    names = list(files)
    for start in range(0, len(names), TOGETHER):
        _install_together(objects, {name: files[name] for name in names[start : start + TOGETHER]})


def _install_together(objects: Path, files: Mapping[str, bytes]) -> None:
    # All are written before the first is flushed: a file system commits what waits together at once.
    waiting: list[tuple[int, str, str]] = []
    try:
        for name, data in files.items():
            folder = f"{objects}/{name[:2]}"
            temporary = f"{folder}/tmp_obj_{os.getpid()}_{name[2:]}"  # noqa: S108
            handle = _create(temporary)
            waiting.append((handle, temporary, f"{folder}/{name[2:]}"))
            _write_whole(handle, data)
        for handle, _, _ in waiting:
            os.fsync(handle)
        while waiting:
            handle, temporary, file = waiting[-1]
            os.rename(temporary, file)  # noqa: PTH104 - a few dozen times a task, and half of pathlib's time
            waiting.pop()
            os.close(handle)
    finally:
        for handle, temporary, _ in waiting:
            os.close(handle)
            Path(temporary).unlink(missing_ok=True)


def _create(file: str) -> int:
    """A new file for an object; what an interrupted writer left under its name makes way, a missing folder is made."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(file, flags, 0o444)
    except FileNotFoundError:
        Path(file).parent.mkdir(exist_ok=True)
    except FileExistsError:
        Path(file).unlink(missing_ok=True)
    return os.open(file, flags, 0o444)


def _write_whole(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
