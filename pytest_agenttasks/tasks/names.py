"""Task names: each is a file's stem, part of a git ref, a folder of logs and a pytest node."""

from __future__ import annotations

import re

from ..report.printable import encodable

LONGEST = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOG_FILES = frozenset({"orchestration.log", "log"})


def name_problem(stem: str) -> str | None:
    """What is wrong with `stem` as a task's name and what is allowed; None if it is fine."""
    shown = stem if len(stem) <= LONGEST else stem[:LONGEST] + "…"
    name = f"the name `{encodable(shown)}`"
    if len(stem) > LONGEST:
        return f"{name} is longer than {LONGEST} characters"
    if not _NAME.fullmatch(stem):
        return f"{name} may hold only letters, digits, `.`, `_` and `-`, and starts with a letter or digit"
    if ".." in stem or stem.endswith(".") or stem.casefold().endswith(".lock"):
        return f"{name} must not hold `..` nor end in `.` or `.lock`: git could not store its attempts"
    if stem.casefold() in _LOG_FILES or stem.casefold().endswith(".report"):
        return f"{name} is that of the runner's own log or reports"
    return None
