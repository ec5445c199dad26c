"""The pattern language of scopes and settings: a path, a folder ending in `/`, or a gitignore-style glob.

A path or folder is anchored at the repository's top. A glob is read as gitignore reads it: `src/*.py` is
anchored by its slash, `*.md` matches at any depth (`./*.md` only at the top), a glob that matches a folder
matches what lies in it. One addition: `[id]` also matches a name spelled with these very brackets, for
frameworks that route by such names.

Translated here, not by a library: whoever runs under a scope chooses the names it is matched against, and
a backtracking translation of `**/a*/**/b*/**/c` never returns on a hostile one. The tests hold the meaning
to pathspec's and git's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from .glob_segments import Element, Wild, meet, quoted, segment

_ANY_NAME = segment("*")
_HFS_IGNORED = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def fold(text: str) -> str:
    """`text` as a file system may see it that ignores case, Unicode composition and invisible characters."""
    if text.isascii():
        return text.lower()
    visible = unicodedata.normalize("NFD", text.translate(_HFS_IGNORED))
    return unicodedata.normalize("NFC", visible.casefold())


def is_glob(pattern: str) -> bool:
    return any(char in pattern for char in "*?[\\")


def is_folder(pattern: str) -> bool:
    """Whether `pattern` is one folder, spelled out."""
    return pattern.endswith("/") and not is_glob(pattern)


def is_path(pattern: str) -> bool:
    """Whether `pattern` is one path, spelled out."""
    return not pattern.endswith("/") and not is_glob(pattern)


def literal_folder(pattern: str) -> str:
    """The deepest folder sure to hold all that `pattern` matches, without its slash; "" is the top."""
    spelled: list[str] = []
    for element in elements(pattern):
        if not isinstance(element, str):
            return "/".join(spelled)
        spelled.append(element)
    return "/".join(spelled[:-1])


class PatternSet:
    """Patterns compiled for matching many paths, each in time linear in the path.

    With `below`, a plain path also covers everything below it, for lists of what to keep away from.
    """

    def __init__(self, patterns: Iterable[str], *, below: bool = False) -> None:
        self.patterns = tuple(patterns)
        self._below = below
        plain = [pattern for pattern in self.patterns if is_path(pattern)]
        self._paths = frozenset(plain)
        self._folders = frozenset(
            [p.rstrip("/") for p in self.patterns if is_folder(p)] + (plain if below else [])
        )
        globs = [_glob(pattern).regex for pattern in self.patterns if is_glob(pattern)]
        self._globs = re.compile("|".join(globs)) if globs else None

    def covers(self, path: str) -> bool:
        if path in self._paths:
            return True
        if self._folders:
            end = path.find("/")
            while end >= 0:
                if path[:end] in self._folders:
                    return True
                end = path.find("/", end + 1)
        return self._globs is not None and self._globs.match(path) is not None

    def which(self, path: str) -> str | None:
        """The first pattern that covers `path`."""
        return next((p for p in self.patterns if PatternSet([p], below=self._below).covers(path)), None)


def may_meet(a: str, b: str, *, b_below: bool = False) -> bool:
    """False only if no path matches both, even where case is ignored; exact for paths and folders.

    `b_below`: `b`, if it is a plain path, also covers everything below it.
    """
    if meet(elements(a), elements(b, below=b_below)):
        return True
    folded = fold(a), fold(b)
    return folded != (a, b) and meet(elements(folded[0]), elements(folded[1], below=b_below))


@lru_cache(maxsize=4096)
def elements(pattern: str, *, below: bool = False) -> tuple[Element, ...]:
    """What a path that `pattern` matches is made of, from the top down."""
    if is_path(pattern):
        spelled = tuple(part for part in pattern.split("/") if part not in ("", "."))
        return (*spelled, Wild.DEPTH) if below else spelled
    if is_folder(pattern):
        return (*(part for part in pattern.split("/") if part not in ("", ".")), _ANY_NAME, Wild.DEPTH)
    glob = _glob(pattern)
    return (*glob.segments, _ANY_NAME, Wild.DEPTH) if glob.inside else (*glob.segments, Wild.DEPTH)


@dataclass(frozen=True, slots=True)
class _Glob:
    """`segments` from the top down; `inside`: matches what lies in such a folder, not the name itself."""

    segments: tuple[Element, ...]
    inside: bool
    regex: str


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> _Glob:
    inside = pattern.endswith("/")
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    parts = [part for part, before in zip(parts, ["", *parts], strict=False) if not part == before == "**"]
    anchored = pattern.startswith(("/", "./")) or len(parts) > 1
    if parts == ["**"]:
        parts, anchored = ["*"], False
    elif parts[-1:] == ["**"]:
        parts, inside = parts[:-1], True
    segments: list[Element] = [] if anchored else [Wild.DEPTH]
    segments += [Wild.DEPTH if part == "**" else segment(part) for part in parts]
    return _Glob(tuple(segments), inside, _regex(segments, inside))


def _regex(segments: Iterable[Element], inside: bool) -> str:
    """Between two `**` the first run of names that fits is as good as any later one, so it is never given up
    again: hence the atomic groups, which keep matching linear."""
    runs: list[list[str]] = [[]]
    for element in segments:
        if isinstance(element, Wild):
            runs.append([])
        else:
            runs[-1].append(quoted(element))
    text = ""
    for position, run in enumerate(runs):
        end = r"(?:/|\Z)" if position == len(runs) - 1 and not inside else "/"
        if run:
            text += f"(?>{'(?:[^/]+/)*?' if position else ''}{'/'.join(run)}{end})"
    return text
