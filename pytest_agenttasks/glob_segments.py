"""One name between two slashes of a glob: what it matches, and whether two of them can match the same name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import product
from typing import TypeVar

_CLASS = re.compile(r"\[(?P<negated>[!^]?)(?P<members>\]?[^\]]*)\]")
_MOST_CLASSES = 3


class Wild(Enum):
    """What stands for more than one thing."""

    DEPTH = "**"
    CHARS = "*"


@dataclass(frozen=True, slots=True)
class CharClass:
    """One character out of a set, or any but those in it; never a slash."""

    regex: str

    def admits(self, char: str) -> bool:
        return re.fullmatch(self.regex, char) is not None


Token = str | CharClass | Wild
_ANY_CHAR = CharClass(r"[^/]")


@dataclass(frozen=True, slots=True)
class Segment:
    """`readings` are the ways to read the text, each a sequence of single characters, sets and `*`."""

    regex: str
    readings: tuple[tuple[Token, ...], ...]


Element = str | Segment | Wild
"""What a pattern's path is made of: a name, a glob of names, or `Wild.DEPTH` for any number of names."""


@lru_cache(maxsize=4096)
def segment(text: str) -> str | Segment:
    """The meaning of `text`, which holds no slash: a plain name, or what its wildcards match."""
    parts = _parts(text)
    if all(isinstance(part, str) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return Segment(_regex(parts), tuple(_readings(parts)))


ANY_NAME = segment("*")


def meet(a: Sequence[Element], b: Sequence[Element]) -> bool:
    """False only if no path can be made of both `a` and `b`."""
    for left, right in zip(a, b, strict=False):
        if not (isinstance(left, str) and isinstance(right, str)):
            break
        if left != right:
            return False
    return _meet(a, b, Wild.DEPTH, _names_meet)


def quoted(element: str | Segment) -> str:
    """The element as part of a regular expression."""
    return re.escape(element) if isinstance(element, str) else element.regex


@dataclass(frozen=True, slots=True)
class _Bracket:
    """A set, with the text that spells it."""

    members: CharClass
    spelling: str


_Part = str | CharClass | Wild | _Bracket


def _parts(text: str) -> list[_Part]:
    parts: list[_Part] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "*":
            if not parts or parts[-1] is not Wild.CHARS:
                parts.append(Wild.CHARS)
        elif char == "?":
            parts.append(_ANY_CHAR)
        elif char == "\\" and at + 1 < len(text):
            at += 1
            parts.append(text[at])
        elif char == "[" and (match := _CLASS.match(text, at)):
            parts.append(_Bracket(_char_class(match["negated"], match["members"]), match[0]))
            at = match.end() - 1
        else:
            parts.append(char)
        at += 1
    return parts


def _char_class(negated: str, members: str) -> CharClass:
    inner = ""
    at = 0
    while at < len(members):
        if at + 2 < len(members) and members[at + 1] == "-":
            first, last = members[at], members[at + 2]
            if first <= last:
                inner += f"{re.escape(first)}-{re.escape(last)}"
            at += 3
        else:
            inner += re.escape(members[at])
            at += 1
    if not inner:
        return CharClass(r"[^/]" if negated else r"(?!)")
    return CharClass(f"(?!/)[{'^' if negated else ''}{inner}]")


def _regex(parts: Sequence[_Part]) -> str:
    """Between two `*` the first match is as good as any later one, so it is never given up again."""
    runs: list[list[_Part]] = [[]]
    for part in parts:
        if part is Wild.CHARS:
            runs.append([])
        else:
            runs[-1].append(part)
    text = "".join(map(_part_regex, runs[0]))
    for run in runs[1:-1]:
        text += f"(?>[^/]*?{''.join(map(_part_regex, run))})"
    if len(runs) > 1:
        text += "[^/]*" + "".join(map(_part_regex, runs[-1]))
    return text


def _part_regex(part: _Part) -> str:
    if isinstance(part, str):
        return re.escape(part)
    if isinstance(part, _Bracket):
        return f"(?:{part.members.regex}|{re.escape(part.spelling)})"
    assert isinstance(part, CharClass)
    return part.regex


def _readings(parts: Sequence[_Part]) -> list[tuple[Token, ...]]:
    if sum(isinstance(part, _Bracket) for part in parts) > _MOST_CLASSES:
        first = next(position for position, part in enumerate(parts) if isinstance(part, _Bracket))
        return [(*(part for part in parts[:first] if not isinstance(part, _Bracket)), Wild.CHARS)]
    choices: list[list[tuple[Token, ...]]] = [
        [(part.members,), tuple(part.spelling)] if isinstance(part, _Bracket) else [(part,)] for part in parts
    ]
    return [tuple(token for tokens in choice for token in tokens) for choice in product(*choices)]


def _names_meet(a: Element, b: Element) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a == b
    return any(_meet(x, y, Wild.CHARS, _chars_meet) for x in _tokens(a) for y in _tokens(b))


def _tokens(element: Element) -> tuple[tuple[Token, ...], ...]:
    if isinstance(element, Segment):
        return element.readings
    assert isinstance(element, str)
    return (tuple(element),)


def _chars_meet(a: Token, b: Token) -> bool:
    if isinstance(a, str):
        return a == b if isinstance(b, str) else isinstance(b, CharClass) and b.admits(a)
    if isinstance(b, str):
        return isinstance(a, CharClass) and a.admits(b)
    return True


_T = TypeVar("_T")


def _meet(a: Sequence[_T], b: Sequence[_T], wild: Wild, together: Callable[[_T, _T], bool]) -> bool:
    """Whether one sequence of single things fits both, `wild` standing for any number of them.

    `later[j]` says whether the rest of `a` after the present element meets the rest of `b` from `j`.
    """
    later = [all(item is wild for item in b[j:]) for j in range(len(b) + 1)]
    for left in reversed(a):
        here = [False] * (len(b) + 1)
        here[len(b)] = left is wild and later[len(b)]
        for j in range(len(b) - 1, -1, -1):
            if left is wild:
                here[j] = later[j] or here[j + 1]
            elif b[j] is wild:
                here[j] = here[j + 1] or later[j]
            else:
                here[j] = later[j + 1] and together(left, b[j])
        later = here
    return later[0]
