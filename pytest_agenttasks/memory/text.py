"""The memory file (CLAUDE.md): which paths it protects, and what the runner writes into it.

Everything here maps text to text. Line ends, a BOM and every line that is not the runner's stay as they are.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..report.printable import one_line
from ..tasks.scope_entry import entry_pattern
from .sections import Document, Section, parse

DO_NOT_TOUCH = "do not touch"
COMPLETED_LOG = "completed tasks log"
TASK_QUEUE = "active task queue"

_LONGEST_TITLE = 100
_NO_TASKS = "(none)"
_LOG_ENTRY = re.compile(r"\d{4}-\d\d-\d\d [A-Za-z0-9][A-Za-z0-9._-]*(?:: .*)?")
_NOTHING = re.compile(
    r"[^a-z0-9/`]*(?:none|nothing|n/a|empty)(?: yet| so far| for now)?[^a-z0-9/`]*", re.IGNORECASE
)
_TEXT_BLOCKS = frozenset({"paragraph_open", "fence", "code_block", "blockquote_open"})


@dataclass(frozen=True, slots=True)
class Completed:
    """A landed task, for the log."""

    date: datetime.date
    name: str
    title: str

    @property
    def entry(self) -> str:
        return f"{self.date.isoformat()} {_entry(self.name, self.title)}"


@dataclass(frozen=True, slots=True)
class Edited:
    """A new text of the memory file, and the entries that are not in it (any more)."""

    text: str
    left_out: tuple[str, ...] = ()


def protected_paths(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths listed under *Do Not Touch*, and what is wrong with that list (each with its line).

    Entries are written as in *Files in Scope*. Sub-sections count; code blocks and HTML comments do not.
    What cannot be read as a path is a problem: protecting less than the author meant would be worse.
    """
    document = parse(text)
    sections = [s for s in document.sections if any(is_do_not_touch(name) for name in s.path)]
    paths: dict[str, None] = {}
    problems: list[str] = []
    for section in sections:
        items = [item for item in document.items if section.content <= item.start < section.end]
        for item in items:
            if _NOTHING.fullmatch(item.text):
                continue
            try:
                paths[entry_pattern(item.text)] = None
            except ValueError as error:
                problems.append(f"line {item.start + 1}: {one_line(str(error), 400)}")
        if not items and (line := _text_line(document, section)) is not None:
            problems.append(
                f"line {line + 1}: *Do Not Touch* has text but no list; write a list item for each path"
            )
    return tuple(paths), tuple(problems)


def record_completed(text: str, entries: Sequence[Completed], limit: int) -> Edited:
    """Add `entries` (oldest first) to the *Completed Tasks Log* and keep its `limit` newest entries.

    `left_out` has the older ones. Only entries of the runner's own form count and go; what a human wrote
    stays. Without such a section the text stays as it is.
    """
    document = parse(text)
    section = document.section(COMPLETED_LOG)
    if section is None:
        return Edited(text)
    own = log_entries(document, section)
    present = {entry for _, entry in own}
    new = [entry for entry in dict.fromkeys(task.entry for task in entries) if entry not in present]
    if not new and len(own) <= limit:
        return Edited(text)
    excess = max(len(own) + len(new) - limit, 0)
    left_out = tuple([*(entry for _, entry in own), *new][:excess])
    added = new[max(excess - len(own), 0) :]
    if own:
        last_line, last_entry = own[-1]
        marker = document.lines[last_line].partition(last_entry)[0]
        gone = {line for line, _ in own[:excess]}
        edited = document.edited(last_line + 1, [marker + entry for entry in added], without=gone)
    elif not added:  # no room for any
        edited = text
    else:
        bullet = document.bullet(section)
        edited = document.appended(section, [f"{bullet} {entry}" for entry in added])
    return Edited(text, tuple(new)) if edited is None else Edited(edited, left_out)


def update_queue(text: str, pending: Sequence[tuple[str, str]]) -> str:
    """Make the list in the *Active Task Queue* say the `pending` tasks (name, title); prose there stays.

    Without such a section the text stays as it is.
    """
    document = parse(text)
    section = document.section(TASK_QUEUE)
    if section is None:
        return text
    entries = [f"- {_entry(name, title)}" for name, title in pending] or [f"- {_NO_TASKS}"]
    lists = [b for b in document.blocks if b.is_list and section.content <= b.start < section.end]
    if not lists:
        return document.appended(section, entries) or text
    for replaced in (lists, lists[:1]):
        old_lines = {n for block in replaced for n in range(block.start, block.end)}
        if (updated := document.edited(lists[0].start, entries, without=old_lines)) is not None:
            return updated
    return text


def log_entries(document: Document, section: Section) -> list[tuple[int, str]]:
    """Line and text of every item that has the runner's own form."""
    lists = [block for block in document.blocks if block.kind == "bullet_list_open"]
    return [
        (item.start, item.text)
        for item in document.items
        if section.content <= item.start < section.end
        and item.depth == 0
        and item.end == item.start + 1
        and _LOG_ENTRY.fullmatch(item.text)
        and any(block.start <= item.start < block.end for block in lists)
    ]


def is_do_not_touch(name: str) -> bool:
    """Whether a `heading_name` begins a protected section; more words may follow."""
    return re.match(rf"{DO_NOT_TOUCH}\b", name) is not None


def _text_line(document: Document, section: Section) -> int | None:
    for block in document.blocks:
        if section.content <= block.start < section.end and block.kind in _TEXT_BLOCKS:
            return None if _NOTHING.fullmatch(document.lines[block.start]) else block.start
    return None


def _entry(name: str, title: str) -> str:
    title = one_line(title, _LONGEST_TITLE)
    return f"{name}: {title}" if title else name
