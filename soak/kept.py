"""What must still be there: the user's files, and whatever any session wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .ledger import blob
from .played import Played
from .repository import git


def lost_files(played: Played) -> list[str]:
    found = [name for name, text in played.user.whole.items() if _text(played.checkout / name) != text]
    found += [
        f"{name}: {line.strip()}"
        for name, line in played.user.parts
        if line not in _text(played.checkout / name)
    ]
    if git(played.checkout, "status", "--porcelain", "--untracked-files=no").strip():
        found += git(played.checkout, "status", "--porcelain", "--untracked-files=no").splitlines()
    return found


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def lost_attempts(played: Played) -> list[str]:
    """Sessions that wrote a file which is neither in the history nor kept anywhere."""
    known = set(_stored(played))
    lost = {
        f"{line['task']}, session {line['number']}: {line['path']}"
        for line in played.ledger.lines("writes.jsonl")
        if line["blob"] not in known
    }
    return sorted(lost)


def _stored(played: Played) -> Iterator[str]:
    for git_dir in (played.checkout / ".git", *played.stores):
        if git_dir.is_dir():
            for line in git(
                played.checkout, f"--git-dir={git_dir}", "rev-list", "--objects", "--all"
            ).splitlines():
                yield line.partition(" ")[0]
    for folder in (
        played.checkout / "src",
        *(kept for state in played.states for kept in state.glob("*/kept")),
    ):
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                yield blob(file.read_bytes())
