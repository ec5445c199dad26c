"""One task file: Markdown in, an immutable Task out, or every reason why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .durations import Seconds
from .settings import Count, GateSettings, Text, Usd


class FrontMatter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The optional YAML between `---` lines at the top of a task file."""

    depends_on: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    accept: tuple[Text, ...] = ()
    timeout: Seconds | None = None
    max_attempts: Count | None = None
    max_turns: Count | None = None
    model: Text | None = None
    budget_usd: Usd | None = None
    type: Text | None = None
    gates: tuple[GateSettings, ...] = ()
    allow_tests: bool = False
    allow_no_change: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a task file: `line` counts from 1 (0: the file as a whole)."""

    line: int
    message: str
    hint: bool = False


@dataclass(frozen=True, slots=True)
class ScopeEntry:
    """One entry of *Files in Scope*: a path, a folder ending in `/`, or a gitignore-style glob."""

    pattern: str
    line: int


@dataclass(frozen=True, slots=True)
class Task:
    """A task file as it stood when it was read. `problems` not empty: refused, never run."""

    name: str
    path: Path
    text: str
    title: str
    title_line: int
    scope: tuple[ScopeEntry, ...] = ()
    front: FrontMatter = field(default_factory=FrontMatter)
    sections: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def refused(self) -> bool:
        return any(not problem.hint for problem in self.problems)
