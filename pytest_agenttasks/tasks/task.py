"""One task file: Markdown in, an immutable Task out, or every reason why not."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..memory.sections import heading_name
from . import front_matter
from . import markdown as task_markdown
from .front_matter import FrontMatter, FrontMatterError
from .names import name_problem
from .scope_entry import entry_pattern

MAX_BYTES = 1_000_000
MAX_ENTRIES = 1_000
SECTIONS = ("Objective", "Constraints", "Files in Scope", "Definition of Done", "Rollback", "On Completion")
SCOPE = "Files in Scope"

_KNOWN = {name.casefold(): name for name in SECTIONS}
_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S", re.M)
_ANY_HEADING = re.compile(r"[ \t]*#{1,6}(?P<name>.*)")


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
    """A task file as it stood when it was read. A problem that is no hint: refused, never run.

    `data` are the file's bytes and `text` what they say, unchanged; `sections` are the `##` headings (the
    known ones as `SECTIONS` spells them) with what follows them.
    """

    name: str
    path: Path
    text: str
    title: str
    title_line: int
    scope: tuple[ScopeEntry, ...] = ()
    front: FrontMatter = field(default_factory=FrontMatter)
    sections: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    data: bytes = b""

    @property
    def refused(self) -> bool:
        return any(not problem.hint for problem in self.problems)

    @property
    def permits(self) -> tuple[tuple[str, ...], FrontMatter]:
        """All in the text that decides what a session may do."""
        return tuple(entry.pattern for entry in self.scope), self.front

    def section(self, name: str) -> str:
        """What the section says; "" if there is none."""
        return next((text for title, text in self.sections if title == name), "")


def read(path: Path) -> Task:
    """The task in the file `path`. Never raises: what cannot be read is a refused task."""
    try:
        data = _contents(path)
    except OSError as error:
        what = "a symbolic link; put the file itself here" if error.errno == errno.ELOOP else error.strerror
        return _unreadable(path, b"", "", f"cannot be read: {what}")
    return parse(path, data)


def named(name: str, folder: Path) -> Task:
    """The task of this name in a queue's folder; no more than the name where there is no file."""
    file = folder / f"{name}.md"
    return read(file) if file.exists() else Task(name, file, "", name, 0)


def parse(path: Path, data: bytes) -> Task:
    """The task that `data` spells. Never raises; pure but for the name, which is `path`'s stem."""
    if len(data) > MAX_BYTES:
        return _unreadable(
            path, b"", "", f"larger than {MAX_BYTES // 1_000_000} MB: a task is a text for one session"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = data.decode("utf-8", "replace")
        return _unreadable(path, data, text, "not UTF-8; save the file as UTF-8", line)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return _unreadable(path, data, text, "holds a NUL byte: not a text file", line)
    return _Parser(path, data, text, task_markdown.lines_of(text)).task()


def _contents(path: Path) -> bytes:
    """At most one byte more than a task may have. Neither a link is followed nor a pipe waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, data: bytes, text: str, message: str, line: int = 0) -> Task:
    named = [Problem(0, problem)] if (problem := name_problem(path.stem)) else []
    return Task(path.stem, path, text, path.stem, 0, problems=(*named, Problem(line, message)), data=data)


@dataclass(frozen=True, slots=True)
class _Section:
    """`line` is that of the heading; the body is `lines[start:end]`."""

    name: str
    line: int
    start: int
    end: int


@dataclass(slots=True)
class _Parser:
    """`lines` are the file's, without BOM and line ends; line numbers in problems count from 1."""

    path: Path
    data: bytes
    text: str
    lines: Sequence[str]
    problems: list[Problem] = field(default_factory=list)

    def task(self) -> Task:
        if problem := name_problem(self.path.stem):
            self._refuse(0, f"{problem}; rename the file")
        front, begin = self._front()
        headings = task_markdown.headings(self.lines[begin:])
        title = next(
            (heading for heading in headings if heading.level == 1 and _one_line(heading.name)), None
        )
        if title is None:
            self._hint(0, "no title: give the task a heading `# …`; until then it goes by its file's name")
        sections = list(_sections(headings, begin, len(self.lines)))
        self._find_doubles(sections)
        scope = self._scope(sections)
        self._find_gaps(sections)
        return Task(
            name=self.path.stem,
            path=self.path,
            text=self.text,
            title=_one_line(title.name) if title else self.path.stem,
            title_line=begin + title.start + 1 if title else 0,
            scope=scope,
            front=front,
            sections=tuple((section.name, self._body(section)) for section in sections),
            problems=tuple(sorted(self.problems, key=lambda problem: problem.line)),
            data=self.data,
        )

    def _refuse(self, line: int, message: str) -> None:
        self.problems.append(Problem(line, message))

    def _hint(self, line: int, message: str) -> None:
        self.problems.append(Problem(line, message, hint=True))

    def _body(self, section: _Section) -> str:
        return "\n".join(self.lines[section.start : section.end]).strip("\n")

    def _front(self) -> tuple[FrontMatter, int]:
        """The front matter, and the index of the line after it."""
        try:
            first, end = front_matter.split(self.lines)
        except FrontMatterError as error:
            self._refuse(error.line, error.message)
            return FrontMatter(), 0
        if not end:
            return FrontMatter(), 0
        front, errors = front_matter.parse("\n".join(self.lines[first:end]), first + 1, self.path.stem)
        for found in errors:
            self._refuse(found.line, found.message)
        return front, end + 1

    def _find_doubles(self, sections: Sequence[_Section]) -> None:
        seen: dict[str, int] = {}
        for section in sections:
            if section.name not in SECTIONS:
                continue
            first = seen.setdefault(section.name, section.line)
            if first != section.line:
                self._refuse(
                    section.line, f"`## {section.name}` is here and in line {first}; make them one section"
                )

    def _find_gaps(self, sections: Sequence[_Section]) -> None:
        found = {section.name: section for section in sections}
        objective, done = found.get("Objective"), found.get("Definition of Done")
        if objective is None or not self._body(objective).strip():
            self._hint(
                objective.line if objective else 0, "no Objective: the agent has only the title to go by"
            )
        if done is None or not _LIST_ITEM.search(self._body(done)):
            self._hint(
                done.line if done else 0,
                "no checkable Definition of Done: list what must be true, one item each",
            )

    def _scope(self, sections: Sequence[_Section]) -> tuple[ScopeEntry, ...]:
        section = next((section for section in sections if section.name == SCOPE), None)
        if section is None:
            self._refuse(*self._no_scope())
            return ()
        items = task_markdown.items(self.lines[section.start : section.end])
        if not items:
            self._refuse(
                section.line,
                f"`## {SCOPE}` has no list: write `- path` for each file or folder that may change",
            )
        if len(items) > MAX_ENTRIES:
            self._refuse(
                section.line,
                f"`## {SCOPE}` has more than {MAX_ENTRIES} entries: name folders, or split the task",
            )
            return ()
        entries: dict[str, ScopeEntry] = {}
        for item in items:
            line = section.start + item.start + 1
            try:
                pattern = _pattern(item)
            except ValueError as error:
                self._refuse(line, f"{SCOPE}: {error}")
                continue
            if pattern in entries:
                self._hint(line, f"{SCOPE}: `{pattern}` is in line {entries[pattern].line} already")
            entries.setdefault(pattern, ScopeEntry(pattern, line))
        return tuple(entries.values())

    def _no_scope(self) -> tuple[int, str]:
        message = f"no `## {SCOPE}`: without a list of what may change, nothing may"
        for number, line in enumerate(self.lines, 1):
            match = _ANY_HEADING.fullmatch(line)
            if match and heading_name(match["name"]) in (SCOPE.casefold(), "scope", "files"):
                return number, f"{message} (is this meant? The heading must be `## {SCOPE}`)"
        return 0, message


def _sections(headings: Sequence[task_markdown.Heading], begin: int, line_count: int) -> Iterator[_Section]:
    ends = [begin + heading.start for heading in headings[1:]] + [line_count]
    for heading, end in zip(headings, ends, strict=False):
        if heading.level == 2:
            name = heading.name
            known = _KNOWN.get(name.casefold()) or _KNOWN.get(heading_name(name))
            yield _Section(known or name, begin + heading.start + 1, begin + heading.end, end)


def _pattern(item: task_markdown.Item) -> str:
    if item.nested:
        raise ValueError("a list within a list; write each path as an item of its own, not indented")
    return entry_pattern(item.text)


def _one_line(title: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in title).split())
