"""Durations as users write them: seconds, or `90s`, `45m`, `2h`."""

from __future__ import annotations

import math
import re

PATTERN = r"^[0-9]+(\.[0-9]+)?[smh]?$"
ALLOWED = "a duration: seconds, or a number with a unit such as 90s, 45m, 2h (365 days at most)"
LONGEST = 365 * 24 * 3600
_FACTORS = {"": 1, "s": 1, "m": 60, "h": 3600}
_PARTS = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh]?)")


class Seconds(float):
    """A duration in seconds; a type of its own so that settings can parse and document it."""


def parse_duration(value: object) -> Seconds:
    """Seconds from a number or a text such as `45m`. Raises ValueError saying what is allowed."""
    seconds = math.nan
    if isinstance(value, str) and (match := _PARTS.fullmatch(value.strip())):
        seconds = float(match[1]) * _FACTORS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(min(value, LONGEST + 1))
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"expected {ALLOWED}, got {value!r}")
    return Seconds(seconds)


def short_duration(seconds: float) -> str:
    """The shortest exact text that `parse_duration` reads back: `30`, `90m`, `2h`."""
    for unit in "hm":
        if seconds and seconds % _FACTORS[unit] == 0:
            return f"{seconds / _FACTORS[unit]:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def format_duration(seconds: float) -> str:
    """A short text for people: `0.4 s`, `12 s`, `3m 05s`, `2h 10m`."""
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"
