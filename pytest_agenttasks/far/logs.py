"""A session's logs, sent while it goes on and written here as they are there."""

from __future__ import annotations

from pathlib import Path

from .messages import Piece

_OURS = (".prompt.md", ".guard.json", ".diff", ".json", ".transcript.md")
"""Endings of what each side writes for itself."""


def is_log(stem: str, name: str) -> bool:
    """Whether a file of the task's log folder is a log of this attempt's session."""
    return name.startswith(f"{stem}.") and "/" not in name and not name.endswith(_OURS)


def write_log(folder: Path, stem: str, piece: Piece, data: bytes) -> None:
    """A piece of a session's log; of any other file nothing is written."""
    file = folder / piece.name
    if not is_log(stem, piece.name) or file.is_symlink():
        return
    with file.open("r+b" if piece.offset else "wb") as stream:
        stream.seek(piece.offset)
        stream.write(data)
