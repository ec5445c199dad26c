"""A Makefile's targets, for what no other recipe of the folder does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .model import Gate, Machine, Recipe, text_of

FILES = ("GNUmakefile", "makefile", "Makefile")
TARGETS = {
    "lint": ("lint",),
    "typecheck": ("typecheck", "type-check"),
    "tests": ("test", "tests", "check"),
}
_RULE = re.compile(r"^(?P<targets>[^\s:#=][^:#=\n]*)::?(?![:=])", re.M)


def make(folder: Path, machine: Machine, others: Sequence[Recipe]) -> Recipe | None:
    """The targets test, lint and typecheck, unless `others` have gates of these kinds."""
    text = next((text for name in FILES if (text := text_of(folder / name)) is not None), None)
    if text is None:
        return None
    targets = {target for rule in _RULE.finditer(text) for target in rule["targets"].split()}
    taken = {gate.kind for recipe in others for gate in recipe.gates}
    path = next((recipe.path for recipe in others if recipe.path), None)
    prefix = f'PATH="$PWD/{path}:$PATH" ' if path else ""
    gates = []
    for kind, names in TARGETS.items():
        name = next((name for name in names if name in targets), None)
        if name is not None and kind not in taken:
            gates.append(Gate(kind, f"{prefix}make {name}"))
    notes = machine.missing("make") if gates else ()
    return Recipe(ecosystem="make", language="make", gates=tuple(gates), notes=notes)
