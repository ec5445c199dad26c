"""One name between two slashes of a glob: what it matches, and which names two of them may share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeVar

_BRACKETS = re.compile(r"\[(?P<negated>[!^]?)(?P<members>\]?[^\]]*)\]")


class Wild(Enum):
    """What stands for any number of names, or of characters within a name."""

    DEPTH = "**"
    CHARS = "*"


@dataclass(frozen=True, slots=True)
class CharSet:
    """One character that `regex` admits, never a slash; `members` lists them all, or is None."""

    regex: str
    members: frozenset[str] | None = None
    spelling: str = "?"

    def meets(self, other: str | CharSet) -> bool:
        if isinstance(other, str):
            return re.fullmatch(self.regex, other) is not None
        return self.members is None or other.members is None or not self.members.isdisjoint(other.members)


Token = str | CharSet | Wild
Reading = tuple[Token, ...]
"""One way to read a name's glob: single characters, sets of characters, and `Wild.CHARS`."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The glob of one name; text with `[…]` has a second reading: the brackets as part of the name."""

    readings: tuple[Reading, ...]
    regex: str


Element = str | Segment | Wild
"""What a pattern's path is made of: a name, a glob of one name, or `Wild.DEPTH`."""


@lru_cache(maxsize=4096)
def segment(text: str) -> str | Segment:
    """The meaning of `text`, which holds no slash: a plain name, or what its wildcards match."""
    tokens = _tokens(text)
    if all(isinstance(token, str) for token in tokens):
        return "".join(token for token in tokens if isinstance(token, str))
    spelled = tuple(_spelled(tokens))
    readings = (tokens,) if spelled == tokens else (tokens, spelled)
    return Segment(readings, f"(?:{'|'.join(map(_regex, readings))})")


def quoted(element: str | Segment) -> str:
    """The element as part of a regular expression."""
    return re.escape(element) if isinstance(element, str) else element.regex


def meet(a: Sequence[Element], b: Sequence[Element]) -> bool:
    """False only if no path is made of both `a` and `b`."""
    for left, right in zip(a, b, strict=False):
        if not (isinstance(left, str) and isinstance(right, str)):
            break
        if left != right:
            return False
    return _meet(a, b, Wild.DEPTH, _names_meet)


def _tokens(text: str) -> Reading:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "*":
            if not tokens or tokens[-1] is not Wild.CHARS:
                tokens.append(Wild.CHARS)
        elif char == "?":
            tokens.append(CharSet(r"[^/]"))
        elif char == "\\" and at + 1 < len(text):
            at += 1
            tokens.append(text[at])
        elif char == "[" and (match := _BRACKETS.match(text, at)):
            tokens.append(_char_set(match["members"], bool(match["negated"]), match[0]))
            at = match.end() - 1
        else:
            tokens.append(char)
        at += 1
    return tuple(tokens)


def _char_set(text: str, negated: bool, spelling: str) -> CharSet:
    regex = ""
    listed: set[str] | None = set()
    at = 0
    while at < len(text):
        first = last = text[at]
        if at + 2 < len(text) and text[at + 1] == "-":
            last = text[at + 2]
            listed = None
            at += 2
        elif listed is not None:
            listed.add(first)
        if first <= last:
            regex += f"{re.escape(first)}-{re.escape(last)}"
        at += 1
    if negated:
        return CharSet(f"(?!/)[^{regex}]" if regex else "[^/]", None, spelling)
    members = None if listed is None else frozenset(listed)
    return CharSet(f"(?!/)[{regex}]" if regex else "(?!)", members, spelling)


def _spelled(tokens: Reading) -> list[Token]:
    spelled: list[Token] = []
    for token in tokens:
        if isinstance(token, CharSet) and token.spelling != "?":
            spelled.extend(token.spelling)
        else:
            spelled.append(token)
    return spelled


def _regex(reading: Reading) -> str:
    """Between two `*` the first match is as good as any later one and is never given up again."""
    runs = [""]
    for token in reading:
        if isinstance(token, Wild):
            runs.append("")
        else:
            runs[-1] += re.escape(token) if isinstance(token, str) else token.regex
    first, *others = runs
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{run})" for run in others[:-1]) + "[^/]*" + others[-1]


@lru_cache(maxsize=4096)
def _names_meet(a: Element, b: Element) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a == b
    return any(_meet(x, y, Wild.CHARS, _chars_meet) for x in _readings(a) for y in _readings(b))


def _readings(element: Element) -> tuple[Reading, ...]:
    if isinstance(element, Segment):
        return element.readings
    assert isinstance(element, str)
    return (tuple(element),)


def _chars_meet(a: Token, b: Token) -> bool:
    if isinstance(a, CharSet) and isinstance(b, str | CharSet):
        return a.meets(b)
    return b.meets(a) if isinstance(a, str) and isinstance(b, CharSet) else a == b


_T = TypeVar("_T")


def _meet(a: Sequence[_T], b: Sequence[_T], wild: Wild, together: Callable[[_T, _T], bool]) -> bool:
    """Whether one sequence of single things fits both `a` and `b`, where `wild` fits any number of them.

    `later[j]`: what follows the present item of `a` meets what follows from `b[j]` on.
    """
    later = [True] * (len(b) + 1)
    for j in range(len(b) - 1, -1, -1):
        later[j] = later[j + 1] and b[j] is wild
    for left in reversed(a):
        here = [False] * len(b) + [left is wild and later[-1]]
        for j in range(len(b) - 1, -1, -1):
            if left is wild or b[j] is wild:
                here[j] = later[j] or here[j + 1]
            else:
                here[j] = later[j + 1] and together(left, b[j])
        later = here
    return later[0]
