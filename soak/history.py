"""The commits of a play, read by plain git."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .repository import git
from .user import NAME

_BOOKS = ("tasks/", "CLAUDE.md")


@dataclass(frozen=True, slots=True)
class Commit:
    """`changes`: path → A, M or D."""

    name: str
    author: str
    subject: str
    changes: dict[str, str]

    @property
    def users(self) -> bool:
        return self.author == NAME

    @property
    def product(self) -> list[str]:
        """What it changes besides queue and memory."""
        return [path for path in self.changes if not path.startswith(_BOOKS)]

    @property
    def completed(self) -> list[str]:
        """The tasks whose files it brings to done."""
        arrived = re.compile(r"tasks/done/(.+)\.md")
        return [
            found[1]
            for path, how in self.changes.items()
            if how == "A" and (found := arrived.fullmatch(path))
        ]

    @property
    def subject_task(self) -> str | None:
        found = re.search(r"\b(\d{4}-[a-z]+-f\d{4})\b", self.subject)
        return found[1] if found else None


def commits(repository: Path, first: str) -> list[Commit]:
    """Those after `first`, oldest first."""
    found = []
    form = "--format=%x01%H%x02%an%x02%s"
    listed = git(
        repository,
        "log",
        "--reverse",
        "--first-parent",
        "--no-renames",
        "--name-status",
        "-z",
        form,
        f"{first}..HEAD",
    )
    for entry in listed.split("\1")[1:]:
        head, *rest = entry.split("\0")
        name, author, subject = head.split("\2")
        changes = [word.strip("\n") for word in rest if word.strip("\n")]
        found.append(Commit(name, author, subject, dict(zip(changes[1::2], changes[::2], strict=True))))
    return found


def show(repository: Path, what: str) -> str | None:
    """A file as a commit has it; None where it has none."""
    try:
        return git(repository, "show", what)
    except RuntimeError:
        return None
