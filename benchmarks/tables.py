"""Markdown tables, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every column but the first is right-aligned."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [f"{cell:{'>' if n else '<'}{widths[n]}}" for n, cell in enumerate(cells)]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * width if n == 0 else "-" * (width - 1) + ":") for n, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.0f} ms" if abs(value) >= 10 else f"{value:.1f} ms"


def times(value: float, beside: float) -> str:
    return f"{value / beside:.1f} ×" if beside > 0 else "-"


def count(number: int) -> str:
    return f"{number:,}"
