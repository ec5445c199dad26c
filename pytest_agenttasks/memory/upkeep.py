"""The memory file over many days and from many hands: sections that are there twice become one, lines that agents have
added twice go, the log forgets what was reverted, and what it has no room for goes to a file of its own.

Everything here maps text to text. Of what people wrote nothing is changed or lost: where an edit would do that, it is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable

from .agent_changes import OPEN_SECTIONS, RUNNER_SECTIONS
from .sections import Document, Section, parse
from .text import COMPLETED_LOG, Edited, is_do_not_touch, log_entries

MAX_CHARACTERS = 40_000
"""From here on Claude Code warns that the file costs every session more than it brings."""
_TITLE = "# Completed tasks\n\nWhat the log of the memory file has no room for, oldest first.\n\n"
_REVERTED = " (reverted)"


def tidied(text: str) -> str:
    """The text with what `merged` and `without_repetitions` do; a second time changes nothing."""
    return without_repetitions(merged(text))


def merged(text: str) -> str:
    """Sections that agents or the runner write to, and that are there twice, become one where the first is.

    A git merge of two branches leaves such a file. One with sections below it stays.
    """
    document = parse(text)
    first: dict[tuple[int, tuple[str, ...]], int] = {}
    for number, section in enumerate(document.sections):
        if not _kept(section):
            continue
        earlier = first.setdefault((section.level, section.path), number)
        if earlier != number and (joined := _joined(document, earlier, number)) is not None:
            return merged(joined)
    return text


def without_repetitions(text: str) -> str:
    """Items of one line that are in the same list already go, in the sections that agents add to, and in the log."""
    document = parse(text)
    doomed: set[int] = set()
    for section in document.sections:
        name = section.path[-1] if section.path else ""
        if name == COMPLETED_LOG:
            found = [(0, line, entry) for line, entry in log_entries(document, section)]
        elif name in OPEN_SECTIONS and _kept(section):
            found = _items(document, section)
        else:
            continue
        seen: set[tuple[int, str]] = set()
        for of, line, item in found:
            if (of, item) in seen:
                doomed.add(line)
            seen.add((of, item))
    return (document.edited(0, [], without=doomed) or text) if doomed else text


def without_entries(text: str, names: Container[str]) -> Edited:
    """The text whose log no longer has the entries of these tasks; `left_out` are those that are gone."""
    document = parse(text)
    section = document.section(COMPLETED_LOG)
    entries = log_entries(document, section) if section is not None else []
    gone = {line: entry for line, entry in entries if name_in(entry) in names}
    edited = document.edited(0, [], without=gone) if gone else None
    return Edited(text) if edited is None else Edited(edited, tuple(gone.values()))


def logged(text: str) -> list[str]:
    """The entries of the log."""
    document = parse(text)
    section = document.section(COMPLETED_LOG)
    return [entry for _, entry in log_entries(document, section)] if section is not None else []


def name_in(entry: str) -> str:
    """The task that an entry of the log is about."""
    return entry.partition(" ")[2].partition(": ")[0]


def put_by(log: str, moved: Iterable[str], reverted: Iterable[str]) -> str:
    """The file of what the log has no room for, with these entries at its end; one that it has is not added again."""
    present = {line.removeprefix("- ") for line in log.splitlines()}
    wanted = [*(f"{entry}{_REVERTED}" for entry in reverted), *moved]
    new = [entry for entry in dict.fromkeys(wanted) if entry not in present]
    if not new:
        return log
    start = log if log.strip() else _TITLE
    return start + "\n" * (not start.endswith("\n")) + "".join(f"- {entry}\n" for entry in new)


def size_warning(file: str, text: str | None) -> str | None:
    """What to say of a memory file that is too long."""
    if text is None or len(text) <= MAX_CHARACTERS:
        return None
    return (
        f"{file}: {len(text):,} characters, and every session reads all of it; Claude Code warns beyond "
        f"{MAX_CHARACTERS:,}: shorten it, or move what only some tasks need to files that they are pointed to"
    )


def _kept(section: Section) -> bool:
    """Whether it is a section that agents or the runner write to."""
    return bool(section.path) and section.path[-1] in (*OPEN_SECTIONS, *RUNNER_SECTIONS) and not any(
        is_do_not_touch(name) for name in section.path
    )  # fmt: skip


def _joined(document: Document, to: int, number: int) -> str | None:
    """The text with section `number` at the end of section `to`; None where that would mean something else."""
    sections = document.sections
    section = sections[number]
    below = sections[number + 1].level if number + 1 < len(sections) else 0
    if below > section.level:
        return None
    content = [
        line.rstrip("\r\n") for line in document.lines[section.content : document.content_end(section)]
    ]
    while content and not content[0].strip():
        content.pop(0)
    longer = document.appended(sections[to], content) if content else document.bom + "".join(document.lines)
    if longer is None:
        return None
    both = parse(longer)
    doomed = both.sections[number]
    start = doomed.start
    while number + 1 == len(sections) and start > 0 and not both.lines[start - 1].strip():
        start -= 1
    result = parse(both.bom + "".join([*both.lines[:start], *both.lines[doomed.end :]]))
    outline = [heading for n, heading in enumerate(document.outline) if n != number]
    if list(result.outline) != outline or _blocks(result) != _blocks(document):
        return None
    return result.bom + "".join(result.lines)


def _blocks(document: Document) -> Counter[tuple[str, ...]]:
    """The blocks that a change of place could open, close or cut; lists and paragraphs may join."""
    return Counter(
        (block.kind, *(line.strip() for line in document.lines[block.start : block.end]))
        for block in document.blocks
        if block.kind in ("fence", "html_block", "code_block", "blockquote_open", "table_open")
    )


def _items(document: Document, section: Section) -> list[tuple[int, int, str]]:
    """The list (by its first line), the line and the text of every item of one line that is in no other one."""
    lists = [block for block in document.blocks if block.kind == "bullet_list_open"]
    return [
        (block.start, item.start, item.text)
        for item in document.items
        if section.content <= item.start < section.end
        and item.depth == 0
        and item.end == item.start + 1
        and item.text
        for block in lists
        if block.start <= item.start < block.end
    ]
