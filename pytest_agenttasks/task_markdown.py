"""The Markdown of a task file: its title, its `##` sections, and the items of a list.

Only what Markdown itself calls a heading or a list counts: not one in a code fence, a quote or a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

_BLOCKS = MarkdownIt("commonmark").disable("reference")
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])

_HEADING = re.compile(r"(?P<level>#{1,2})(?:[ \t]+(?P<name>.*?))??(?:[ \t]+#+)?[ \t]*")
_NEEDS_PARSER = re.compile(r"```|~~~|^ {0,3}<|^ {1,3}#|^ {0,3}(?:-+|=+)[ \t]*$|\0", re.M)


@dataclass(frozen=True, slots=True)
class Heading:
    """A top-level heading: `start` is the index of its first line, `end` of the first line after it."""

    level: int
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Item:
    """A list item: `first` and `more` are the lines of its opening paragraph; `nested` holds a list of its own."""

    start: int
    first: str
    more: tuple[str, ...]
    nested: bool


def headings(lines: Sequence[str]) -> list[Heading]:
    """The headings of level 1 and 2, in order."""
    text = "\n".join(lines)
    if _NEEDS_PARSER.search(text) is None:
        # Without fences, HTML and underlined headings every `#` at a line's start is one: ten times as fast.
        return [
            Heading(len(match["level"]), (match["name"] or "").strip(), at, at + 1)
            for at, line in enumerate(lines)
            if line.startswith("#") and (match := _HEADING.fullmatch(line))
        ]
    tokens = _BLOCKS.parse(text)
    return [
        Heading(int(token.tag[1]), tokens[at + 1].content, token.map[0], token.map[1])
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.tag in ("h1", "h2") and token.map
    ]


def items(lines: Sequence[str]) -> list[Item]:
    """The items of every list in `lines`; `start` is an index into `lines`."""
    found: list[Item] = []
    tokens = _BLOCKS.parse("\n".join(lines))
    for at, token in enumerate(tokens):
        if token.type == "list_item_open" and token.level == 1:
            found.append(_item(list(_inside(tokens, at))))
    return found


def _inside(tokens: Sequence[Token], at: int) -> Iterator[Token]:
    yield tokens[at]
    for token in tokens[at + 1 :]:
        if token.level <= tokens[at].level:
            return
        yield token


def _item(tokens: Sequence[Token]) -> Item:
    start = tokens[0].map[0] if tokens[0].map else 0
    nested = any(token.type == "list_item_open" for token in tokens[1:])
    if len(tokens) < 3 or tokens[1].type != "paragraph_open":
        return Item(start, "", (), nested)
    first, *more = tokens[2].content.split("\n")
    return Item(start, first, tuple(more), nested)
