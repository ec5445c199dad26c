"""How the names of tasks are spelled in node ids."""

from __future__ import annotations

from ..report.printable import printable


def node_name(name: str) -> str:
    """`name` on one line, fit for terminals and XML; a name that a task may have stays as it is."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")
