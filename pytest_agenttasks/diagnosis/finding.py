"""One thing that was looked at, what it is like, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from ..outcome import SetupError


class Level(StrEnum):
    """`FAIL` stops a run, `WARN` does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at; `text` and `remedy` are one line each and may hold names of files."""

    check: str
    level: Level
    text: str
    remedy: str = ""


_TWO_PARTS = re.compile(r"((?:`[^`]*`|[^`;]|;(?! ))+); (.+)")
"""A semicolon within backticks belongs to a command."""

_T = TypeVar("_T")
Findings = Generator[Finding, None, _T]
"""Checks that find something on the way to a value that later ones need (None where it could not be had)."""


def ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, Level.WARN, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, Level.FAIL, text, remedy)


def refused(check: str, error: SetupError, remedy: str) -> Finding:
    """What a run would be refused with: such a message says what is wrong, a semicolon, and what to do.

    `remedy` is for the few that say only what is wrong.
    """
    message = str(error).replace("\n", " ")
    parts = _TWO_PARTS.fullmatch(message)
    return fail(check, parts[1], parts[2]) if parts else fail(check, message, remedy)
