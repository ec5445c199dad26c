"""YAML as settings need it, built from the parser's events with the line of every value.

YAML 1.2's plain values: only `true` and `false` are booleans, `17:30` is text. Refused, with the line: a key
written twice, keys that are not text, tags, anchors and aliases, several documents, very deep nesting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""Where a value is: keys and positions from the top, such as `("gates", 0, "run")`."""

FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH = 20
MAX_BYTES = 1_000_000

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})


class YamlError(ValueError):
    """What is wrong with a document; `line` counts from 1 (0: the document as a whole)."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: its value, and the line (from 1) on which the value of each place starts."""

    value: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest enclosing one that is in the document; 0 for none."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 0) if place else 0


def parse(data: bytes | str, *, first_line: int = 1, loader: Any = FASTEST) -> Document:
    """The one document in `data` (UTF-8); None when there is none. Raises YamlError.

    `first_line` is the line of `data`'s first line in the file that it is a part of.
    """
    if len(data) > MAX_BYTES:
        raise YamlError(f"larger than {MAX_BYTES // 1_000_000} MB", 0)
    text = data if isinstance(data, str) else _decode(data, first_line)
    builder = _Builder(first_line)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.add(event)
    except YamlError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(part for part in (error.context, error.problem) if part)
        line = first_line + (mark.line if mark is not None else 0)
        raise YamlError(f"not valid YAML: {words}", line) from None
    except yaml.reader.ReaderError as error:
        line = first_line + text.count("\n", 0, error.position)
        raise YamlError(
            f"not valid YAML: the character {error.character:#06x} is not allowed", line
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise YamlError(f"not valid YAML: {error}", 0) from None
    return Document(builder.value, builder.lines)


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being filled; `key` is the pending key of a mapping."""

    place: Place
    value: list[Any] | dict[str, Any]
    key: str | None = None


@dataclass(slots=True)
class _Builder:
    first_line: int
    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    documents: int = 0

    def add(self, event: yaml.Event) -> None:
        line = self.first_line + (event.start_mark.line if event.start_mark else 0)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise YamlError("a second document starts here (`---`); only one is allowed", line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            if event.anchor:
                raise YamlError(
                    f"anchors and aliases (`{event.anchor}`) are not supported; write the value out", line
                )
            self._node(event, line)

    def _node(self, event: yaml.NodeEvent, line: int) -> None:
        parent = self.stack[-1] if self.stack else None
        if parent and isinstance(parent.value, dict) and parent.key is None:
            parent.key = _key(event, parent.value, line)
            self.lines[(*parent.place, parent.key)] = line
            return
        value = _value(event, line)
        place: Place = ()
        if parent is None:
            self.value = value
        elif isinstance(parent.value, list):
            place = (*parent.place, len(parent.value))
            self.lines[place] = line
            parent.value.append(value)
        elif parent.key is not None:
            place = (*parent.place, parent.key)
            parent.value[parent.key] = value
            parent.key = None
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) == MAX_DEPTH:
                raise YamlError(f"nested more than {MAX_DEPTH} levels deep", line)
            self.stack.append(_Open(place, value))


def _key(event: yaml.NodeEvent, taken: Mapping[str, Any], line: int) -> str:
    key = _value(event, line)
    if not isinstance(key, str):
        shown = (
            f"the key `{event.value}`"
            if isinstance(event, yaml.ScalarEvent)
            else "a list or mapping as a key"
        )
        raise YamlError(f"{shown} is not text; put it in quotes if it is meant", line)
    if key in taken:
        raise YamlError(f"the key `{key}` is written twice", line)
    return key


def _value(event: yaml.NodeEvent, line: int) -> Any:
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event, line)
    if isinstance(event, yaml.CollectionStartEvent) and event.tag not in (None, "!"):
        raise YamlError(f"the tag `{_tag(event.tag)}` is not supported", line)
    return [] if isinstance(event, yaml.SequenceStartEvent) else {}


def _scalar(event: yaml.ScalarEvent, line: int) -> Any:
    text: str = event.value
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise YamlError(
            "a text holds a character that no program can be given (NUL or half a surrogate pair)", line
        )
    if event.tag is not None and event.tag not in _TEXT_TAGS:
        raise YamlError(f"the tag `{_tag(event.tag)}` is not supported", line)
    return text if event.tag is not None or not event.implicit[0] else _plain(text)


def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _decode(data: bytes, first_line: int) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        raise YamlError("not UTF-8; save the file as UTF-8", line) from None


def dotted(place: Place) -> str:
    """A place as people write it: `gates[0].run`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")
