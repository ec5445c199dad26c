"""All attacks of all kinds, in the order of the table."""

from __future__ import annotations

import importlib
import importlib.util

from tests.attacks.attack import Attack

MODULES = ("cheats", "hiding", "breaking_git", "escaping", "outliving", "harm", "rules")


def catalogue() -> tuple[Attack, ...]:
    """The attacks of every module that there is."""
    return tuple(attack for name in MODULES for attack in _attacks(f"tests.attacks.{name}"))


def _attacks(module: str) -> tuple[Attack, ...]:
    if importlib.util.find_spec(module) is None:
        return ()
    found: tuple[Attack, ...] = importlib.import_module(module).ATTACKS
    return found
