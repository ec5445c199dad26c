"""The Markdown of a task file: its title, its `##` sections, and the items of a list.

Only what Markdown itself calls a heading or a list counts: not one in a code fence, a quote or a comment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markdown_it import MarkdownIt

from ..memory.sections import BOM

_BLOCKS = MarkdownIt("commonmark").disable("reference")
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])

_HEADING = re.compile(r"(?P<level>#{1,2})(?:[ \t]+(?P<name>.*?))??(?:[ \t]+#+)?[ \t]*")
_NEEDS_PARSER = re.compile(r"```|~~~|^ {0,3}<|^ {1,3}#|^ {0,3}(?:-+|=+)[ \t]*$", re.M)
_PLAIN_ITEM = re.compile(r"[-*+] (?:[A-Za-z.@]|`[^`])")


@dataclass(frozen=True, slots=True)
class Heading:
    """A top-level heading: `start` is the index of its first line, `end` of the first line after it."""

    level: int
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Item:
    """A list item: `text` is its opening paragraph, "" if it opens otherwise; `nested`: it holds a list."""

    start: int
    text: str
    nested: bool


def lines_of(text: str) -> list[str]:
    """The lines of a file as Markdown and editors count them, without byte order mark and line ends."""
    return text.removeprefix(BOM).replace("\r\n", "\n").replace("\r", "\n").split("\n")


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
    if all(not line or _PLAIN_ITEM.match(line) for line in lines):
        # Such lines can be nothing but items of one paragraph each: the usual scope, read three times as fast.
        return [Item(at, line[2:].strip(), nested=False) for at, line in enumerate(lines) if line]
    found: list[Item] = []
    tokens = _BLOCKS.parse("\n".join(lines))
    in_list = False
    for at, token in enumerate(tokens):
        if token.level == 0:
            in_list = token.type in ("bullet_list_open", "ordered_list_open")
        if token.type != "list_item_open" or token.map is None:
            continue
        if token.level == 1:
            opens_with_text = tokens[at + 1].type == "paragraph_open"
            found.append(Item(token.map[0], tokens[at + 2].content if opens_with_text else "", nested=False))
        elif in_list:
            found[-1] = replace(found[-1], nested=True)
    return found
