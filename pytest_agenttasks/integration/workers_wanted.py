"""Whether several agents were asked for, with pytest-xdist's own options, and whether that can be done."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

import pytest

_OWN = re.compile(r"-n(?:\d+|auto|logical)?|--(?:numprocesses|tx|dist)(?:=.*)?")


def workers_wanted(option: argparse.Namespace) -> bool:
    """Whether tasks go to xdist's workers; makes xdist see it the same way."""
    count = getattr(option, "numprocesses", None)
    specs: list[str] = getattr(option, "tx", None) or []
    wanted = (bool(count) or (count is None and bool(specs))) and not option.collectonly
    # Any mode but `no`: tasks have a scheduler of their own.
    option.dist, option.distload = "load" if wanted else "no", False
    if not wanted:
        option.numprocesses, option.tx = None, []
    return wanted


def other_distribution(typed: argparse.Namespace) -> str | None:
    """A word about a --dist that was typed and does not apply to tasks."""
    mode = getattr(typed, "dist", "no")
    if mode in ("no", "load"):
        return None
    return (
        f"--dist {mode} is for tests: tasks are handed out by what they depend on and which files they change"
    )


def refuse_without_xdist(typed: Sequence[str], pluginmanager: pytest.PytestPluginManager) -> None:
    """Say what is missing when `-n` was typed and nobody would act on it. Raises UsageError."""
    if any(pluginmanager.has_plugin(name) for name in ("xdist", "xdist.plugin")):
        return
    found = next((argument for argument in typed if _OWN.fullmatch(argument)), None)
    if found is not None:
        raise pytest.UsageError(
            f"{found}: several agents at once need pytest-xdist, which is not loaded: take `-p no:xdist` away, or "
            "install it (`pip install pytest-xdist`)"
        )
