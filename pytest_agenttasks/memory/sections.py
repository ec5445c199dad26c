"""The sections and lists of a Markdown text, by line: enough to edit one and leave the rest untouched."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markdown_it import MarkdownIt

BOM = "\ufeff"

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_LONGEST_NAME = 200  # a bound on what the patterns below may have to search
_BLOCKS_ONLY = MarkdownIt("commonmark")
_BLOCKS_ONLY.core.ruler.enableOnly(["normalize", "block"])


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what follows it up to the next heading of any level; line numbers count from 0.

    `path` holds the `heading_name` of every heading above this one and its own. The text before the first
    heading is a section too: level 0, no title, no path.
    """

    level: int
    title: str
    path: tuple[str, ...]
    start: int
    content: int
    end: int


@dataclass(frozen=True, slots=True)
class Item:
    """A list item: its lines, how many items it is nested in, and the text of its first paragraph."""

    start: int
    end: int
    depth: int
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block that is in no other one, without the blank lines after it.

    `kind` is markdown-it's token type (`paragraph_open`, `fence`, `html_block`, `bullet_list_open`, …),
    `markup` a list's bullet or a fence.
    """

    start: int
    end: int
    kind: str
    markup: str

    @property
    def is_list(self) -> bool:
        return self.kind in ("bullet_list_open", "ordered_list_open")


@dataclass(frozen=True, slots=True)
class Document:
    """`lines` keep their line ends, so that `bom + "".join(lines)` is the text."""

    bom: str
    lines: tuple[str, ...]
    newline: str
    sections: tuple[Section, ...]
    blocks: tuple[Block, ...]
    items: tuple[Item, ...]

    @property
    def outline(self) -> tuple[tuple[int, str], ...]:
        """Level and title of every heading."""
        return tuple((section.level, section.title) for section in self.sections)

    def section(self, name: str) -> Section | None:
        """The first section of that `heading_name`."""
        return next((section for section in self.sections if section.path[-1:] == (name,)), None)

    def content_end(self, section: Section) -> int:
        """The line after the section's last line that is not blank."""
        return _without_blank_end(self.lines, section.content, section.end)

    def bullet(self, section: Section) -> str:
        """The bullet of the list that the section ends with; `-` where there is none."""
        last = self._last_list(section)
        return last.markup if last else "-"

    def _last_list(self, section: Section) -> Block | None:
        at = self.content_end(section)
        return next((b for b in self.blocks if b.kind == "bullet_list_open" and b.end == at), None)

    def edited(self, at: int, new_lines: Sequence[str], without: Container[int] = ()) -> str | None:
        """The text with `new_lines` (without line ends) before line `at`, and some lines taken out.

        None if that would change the outline, or put the new lines into a code block or comment left open.
        """
        before = [line for n, line in enumerate(self.lines[:at]) if n not in without]
        after = [line for n, line in enumerate(self.lines[at:], at) if n not in without]
        if before and new_lines and not before[-1].endswith(("\n", "\r")):
            before[-1] += self.newline
        text = self.bom + "".join([*before, *(line + self.newline for line in new_lines), *after])
        result = parse(text)
        first = len(before) + next((n for n, line in enumerate(new_lines) if line.strip()), 0)
        swallowed = any(b.start < first < b.end and b.kind in ("fence", "html_block") for b in result.blocks)
        return text if result.outline == self.outline and not swallowed else None

    def appended(self, section: Section, new_lines: Sequence[str]) -> str | None:
        """The text with `new_lines` at the section's end, set off by blank lines where it takes them."""
        at = self.content_end(section)
        last = self._last_list(section)
        continues = last is not None and new_lines[0].startswith(f"{last.markup} ")
        blank_before = [] if continues else [""]
        blank_after = [""] if at < len(self.lines) and self.lines[at].strip() else []
        return self.edited(at, [*blank_before, *new_lines, *blank_after])


@lru_cache(maxsize=16)
def parse(text: str) -> Document:
    """The structure of `text` by the CommonMark rules; anything is a valid text."""
    bom = BOM if text.startswith(BOM) else ""
    lines = tuple(_LINE.findall(text[len(bom) :]))
    endings = (line[len(line.rstrip("\r\n")) :] for line in lines)
    headings: list[tuple[int, str, int, int]] = []
    blocks: list[Block] = []
    items: list[Item] = []
    depth = 0
    awaiting_text: tuple[int, int] | None = None
    tokens = _BLOCKS_ONLY.parse("".join(lines))
    for position, token in enumerate(tokens):
        start, end = token.map or (0, 0)
        end = _without_blank_end(lines, start, end)
        if token.level == 0 and token.map and token.nesting >= 0:
            blocks.append(Block(start, end, token.type, token.markup))
        if token.type == "heading_open" and token.level == 0:
            headings.append((int(token.tag[1:]), tokens[position + 1].content, start, end))
        elif token.type == "list_item_open":
            items.append(Item(start, end, depth, ""))
            awaiting_text = (len(items) - 1, depth)
            depth += 1
        elif token.type == "list_item_close":
            depth -= 1
            awaiting_text = None
        elif token.type == "inline" and awaiting_text:
            item = items[awaiting_text[0]]
            items[awaiting_text[0]] = Item(item.start, item.end, item.depth, token.content)
            awaiting_text = None
    return Document(
        bom=bom,
        lines=lines,
        newline=next(filter(None, endings), "\n"),
        sections=tuple(_sections(headings, len(lines))),
        blocks=tuple(blocks),
        items=tuple(items),
    )


def heading_name(title: str) -> str:
    """What a heading is compared by: case, decoration, numbering and a note in parentheses do not count."""
    name = re.sub(r"[`*_~]|\([^()]*\)\W*$", "", title[:_LONGEST_NAME])
    name = re.sub(r"^\W*(?:\d+[.)]\s)?\W*|\W+$", "", name)
    return " ".join(name.casefold().split())


def _sections(headings: list[tuple[int, str, int, int]], line_count: int) -> list[Section]:
    starts = [heading[2] for heading in headings] + [line_count]
    sections = [Section(0, "", (), 0, 0, starts[0])]
    above: list[tuple[int, str]] = []
    for (level, title, start, content), end in zip(headings, starts[1:], strict=True):
        above = [outer for outer in above if outer[0] < level] + [(level, heading_name(title))]
        sections.append(Section(level, title, tuple(name for _, name in above), start, content, end))
    return sections


def _without_blank_end(lines: tuple[str, ...], start: int, end: int) -> int:
    while end > start and not lines[end - 1].strip():
        end -= 1
    return end
