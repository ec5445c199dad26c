"""What an agent did to the memory file: which lines are kept, which are dropped, what is a violation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, groupby, zip_longest

from ..report.printable import one_line, printable
from .sections import Document, Section, parse
from .text import COMPLETED_LOG, DO_NOT_TOUCH, TASK_QUEUE, is_do_not_touch

OPEN_SECTIONS = ("known issues", "architectural invariants")
RUNNER_SECTIONS = (COMPLETED_LOG, TASK_QUEUE)
MAX_ADDED = 16 * 1024

_ALLOWED = "an agent may only add lines under *Known Issues* and *Architectural Invariants*"
_MOST_DROPPED_TOLD = 10


@dataclass(frozen=True, slots=True)
class Addition:
    """Lines (without line ends, printable) for the end of the section with that `Section.path`."""

    path: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentMemory:
    """What is kept; in lines for people: what was done to the runner's sections, and what may not be done."""

    additions: tuple[Addition, ...] = ()
    dropped: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """A section as it is judged: its lines that are not blank, each with its number (from 0)."""

    section: Section
    lines: tuple[tuple[int, str], ...]

    @property
    def heading(self) -> tuple[int, str]:
        return self.section.level, self.section.title

    @property
    def place(self) -> str:
        return f"*{one_line(self.section.title, 80)}*" if self.section.level else "the top"


def agent_changes(base: str | None, agent: str | None) -> AgentMemory:
    """Judge an agent's text of the memory file against that of the base; None: there is no such file.

    Line ends, blank lines and spaces at line ends do not count: what lands is the current text with the
    additions, never the agent's text. Any text may come in; nothing raises.
    """
    if base is agent:
        return AgentMemory()
    if base is None or agent is None:
        verb = "creates" if base is None else "deletes"
        return AgentMemory(violations=(f"{verb} the memory file; {_ALLOWED}",))
    if (growth := len(agent) - len(base)) > MAX_ADDED:
        reason = f"adds {growth:,} characters; every session reads this file, so {MAX_ADDED:,} at most"
        return AgentMemory(violations=(reason,))
    before, after = parse(base), parse(agent)
    old_parts, new_parts = _parts(before), _parts(after)
    for old, new in zip_longest(old_parts, new_parts):
        if old is None or new is None or old.heading != new.heading:
            return AgentMemory(violations=(_heading_violation(old, new, old_parts),))
    judged = [_judge(old, new, after) for old, new in zip(old_parts, new_parts, strict=True)]
    return AgentMemory(
        additions=tuple(addition for part in judged for addition in part.additions),
        dropped=tuple(line for part in judged for line in part.dropped),
        violations=tuple(violation for part in judged for violation in part.violations),
    )


def merge_additions(text: str, additions: Iterable[Addition]) -> str:
    """The current text with `additions` at the ends of their sections; what is there is not added twice.

    A sub-section that is gone is replaced by the one around it. Where the whole section is gone nothing is
    added: the runner makes up no sections.
    """
    for path, group in groupby(additions, key=lambda addition: addition.path):
        document = parse(text)
        section = _target(document, path)
        if section is None:
            continue
        chunks = [chunk for addition in group for chunk in _chunks(addition.lines)]
        new_lines = _new_lines(document, section, chunks)
        if new_lines:
            text = document.appended(section, new_lines) or text
    return text


def _judge(old: _Part, new: _Part, agent: Document) -> AgentMemory:
    """What was done to one section."""
    owner = _owner(old.section.path)
    if owner in RUNNER_SECTIONS:
        return AgentMemory(dropped=tuple(_difference(old, new)))
    additions: list[Addition] = []
    violations: list[str] = []
    added, missing = _compare(old.lines, new.lines)
    if missing:
        line, text = missing
        violations.append(_violation(f"line {line + 1} of the base", "removes or changes", old, text))
    for first, last in _runs(agent, added):
        shown = [printable(line).rstrip() for line in agent.lines[first : last + 1]]
        lines = tuple(dropwhile(lambda line: not line, shown))
        if not lines:
            continue
        problem = _structure_problem(lines) if owner in OPEN_SECTIONS else "adds lines"
        if problem:
            violations.append(_violation(f"line {first + 1}", problem, old, lines[0]))
        else:
            additions.append(Addition(old.section.path, lines))
    return AgentMemory(tuple(additions), violations=tuple(violations))


def _parts(document: Document) -> list[_Part]:
    """The sections; those inside one of the runner's count as its content, for all of that is dropped."""
    sections = [
        section
        for section in document.sections
        if _owner(section.path) not in RUNNER_SECTIONS or section.path[-1] in RUNNER_SECTIONS
    ]
    ends = [section.start for section in sections[1:]] + [len(document.lines)]
    parts = []
    for section, end in zip(sections, ends, strict=True):
        numbered = enumerate(document.lines[section.content : end], section.content)
        parts.append(_Part(section, tuple((n, line.rstrip()) for n, line in numbered if line.strip())))
    return parts


def _owner(path: Sequence[str]) -> str | None:
    """The innermost heading of `path` that decides who may write there."""
    for name in reversed(path):
        if name in OPEN_SECTIONS or name in RUNNER_SECTIONS:
            return name
        if is_do_not_touch(name):
            return DO_NOT_TOUCH
    return None


def _target(document: Document, path: tuple[str, ...]) -> Section | None:
    for depth in range(len(path), 0, -1):
        if _owner(path[:depth]) != _owner(path):
            return None
        exact = next((section for section in document.sections if section.path == path[:depth]), None)
        if found := exact or document.section(path[depth - 1]):
            return found
    return None


def _compare(
    old: Sequence[tuple[int, str]], new: Sequence[tuple[int, str]]
) -> tuple[list[int], tuple[int, str] | None]:
    """The numbers of the new lines that were added, and the first old line that is not there any more."""
    position = 0
    added = []
    for number, text in new:
        if position < len(old) and old[position][1] == text:
            position += 1
        else:
            added.append(number)
    return added, old[position] if position < len(old) else None


def _runs(document: Document, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of the lines that stand together, with nothing but blank lines between them."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and not any(line.strip() for line in document.lines[runs[-1][1] + 1 : number]):
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _structure_problem(lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    document = parse(f"{text}\n\n# end\n")
    # In a list item a comment ends with the item for Markdown, but not for whoever renders it as HTML.
    if document.outline[-1] != (1, "end") or text.rfind("<!--") > text.rfind("-->"):
        return "opens a code block or a comment without closing it"
    return "adds a heading" if len(document.outline) > 2 else ""


def _difference(old: _Part, new: _Part) -> list[str]:
    before, after = (Counter(text for _, text in part.lines) for part in (old, new))
    told = [f"{old.place}: added `{one_line(text, 80)}`" for text in (after - before).elements()]
    told += [f"{old.place}: removed `{one_line(text, 80)}`" for text in (before - after).elements()]
    more = len(told) - _MOST_DROPPED_TOLD
    return told if more <= 0 else [*told[:_MOST_DROPPED_TOLD], f"{old.place}: and {more} more"]


def _chunks(lines: Sequence[str]) -> list[list[str]]:
    """`lines` cut at their blocks and list items: what is compared as one when looking for duplicates."""
    document = parse("\n".join(lines))
    starts = sorted(
        {0, *(b.start for b in document.blocks), *(i.start for i in document.items if i.depth == 0)}
    )
    ends = [*starts[1:], len(lines)]
    return [list(lines[start:end]) for start, end in zip(starts, ends, strict=True)]


def _new_lines(document: Document, section: Section, chunks: Iterable[list[str]]) -> list[str]:
    """The lines of those chunks that are not in the section yet."""
    present = [line.strip() for line in document.lines[section.content : section.end] if line.strip()]
    known = set(present)
    new_lines: list[str] = []
    before = ""
    for chunk in chunks:
        wanted = [line.strip() for line in chunk if line.strip()]
        if known.issuperset(wanted) and _contains(present, wanted):
            continue
        present += wanted
        known.update(wanted)
        if new_lines and new_lines[-1].strip() and not (_is_item(before) and _is_item(chunk[0])):
            new_lines.append("")
        new_lines += chunk
        before = chunk[0]
    while new_lines and not new_lines[-1].strip():
        new_lines.pop()
    return new_lines


def _contains(lines: list[str], wanted: list[str]) -> bool:
    return any(lines[n : n + len(wanted)] == wanted for n in range(len(lines) - len(wanted) + 1))


def _is_item(line: str) -> bool:
    return line.startswith(("- ", "* ", "+ "))


def _heading_violation(old: _Part | None, new: _Part | None, old_parts: Sequence[_Part]) -> str:
    if new is not None and (old is None or new.heading not in [part.heading for part in old_parts]):
        return f"line {new.section.start + 1}: adds or changes the heading {new.place}; {_ALLOWED}"
    assert old is not None
    line = f"line {old.section.start + 1} of the base"
    return f"{line}: removes, moves or hides the heading {old.place}; {_ALLOWED}"


def _violation(line: str, what: str, part: _Part, text: str) -> str:
    return f"{line}: {what} under {part.place}: `{one_line(text, 80)}`; {_ALLOWED}"
