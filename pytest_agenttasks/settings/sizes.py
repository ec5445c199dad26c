"""Sizes in memory as users write them: `512M`, `4G`."""

from __future__ import annotations

import re

PATTERN = r"^[1-9][0-9]{0,5}[MGT]$"
LEAST = 16 * 1024**2
ALLOWED = "a size such as 512M or 4G (16M at least)"
_FACTORS = {"M": 1024**2, "G": 1024**3, "T": 1024**4}


class Bytes(int):
    """A size in bytes; a type of its own so that settings can parse and document it."""


def parse_size(value: object) -> Bytes:
    """Bytes from a text such as `4G` (4 x 1024^3). Raises ValueError saying what is allowed."""
    if isinstance(value, str) and re.fullmatch(PATTERN[1:-1], value):
        found = int(value[:-1]) * _FACTORS[value[-1]]
        if found >= LEAST:
            return Bytes(found)
    raise ValueError(f"expected {ALLOWED}, got {value!r}")
