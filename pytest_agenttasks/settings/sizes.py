"""Sizes in memory as users write them: `512M`, `4G`."""

from __future__ import annotations

import re

PATTERN = r"^[1-9][0-9]{0,5}[MGT]$"
LEAST = 16 * 1024**2
ALLOWED = "a size such as 512M or 4G (16M at least)"
_FACTORS = {"M": 1024**2, "G": 1024**3, "T": 1024**4}


class Bytes(int):
    """A size in bytes; a type of its own so that settings can parse and document it."""


def format_size(size: int) -> str:
    """A short text for people: `0 B`, `12 KB`, `3.4 GB` (of 1024)."""
    amount, units = float(size), ["B", "KB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1024
        del units[0]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" or amount >= 10 else f"{amount:.1f} {units[0]}"


def parse_size(value: object) -> Bytes:
    """Bytes from a text such as `4G` (4 x 1024^3). Raises ValueError saying what is allowed."""
    if isinstance(value, str) and re.fullmatch(PATTERN[1:-1], value):
        found = int(value[:-1]) * _FACTORS[value[-1]]
        if found >= LEAST:
            return Bytes(found)
    raise ValueError(f"expected {ALLOWED}, got {value!r}")
