"""Small files of the runner's own: JSON, replaced in one step, and worth nothing where they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def load(file: Path, kind: type[T]) -> T | None:
    """What the file holds, None where it is not there or not a `kind`. Raises OSError when it cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def save(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, msgspec.json.encode(value))


def put(file: Path, data: bytes) -> None:
    """Replace the file in one step: another process may be reading it."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(file)


def put_for_good(file: Path, data: bytes) -> None:
    """The same for what is nowhere else: on disk before it returns."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
