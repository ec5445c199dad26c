"""The machine that the numbers belong to."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import pytest

from .tables import table
from .timing import run


def describe(folder: Path) -> str:
    """What the numbers depend on, as a table; `folder` is where the repositories of the benchmark lie."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    rows = [
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("cores", f"{cores} (load over 1, 5, 15 minutes at the start: {load})"),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("file system", _file_system(folder)),
        ("Python", f"{platform.python_version()}, pytest {pytest.__version__}"),
        ("git", run(["git", "version"], folder).split()[2]),
    ]
    return table(("machine", ""), rows)


def _file_system(folder: Path) -> str:
    holding = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    if not holding:
        return "unknown"
    found = max(holding, key=lambda part: len(part.mountpoint))
    return f"{found.fstype} at {found.mountpoint}"


_FOREIGN = ("GIT_", "XDG_", "AGENTTASKS_", "PYTEST_", "ANTHROPIC_", "CLAUDE", "PYTHONDONTWRITEBYTECODE", "CI")


def own_home(home: Path) -> None:
    """From here on neither the user's settings nor his workspaces take part, in this process and all that it starts."""
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = The Machine\n\temail = machine@example.org\n[gc]\n\tauto = 0\n[advice]\n\tdetachedHead = false\n"
    )
    for variable in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[variable]
    os.environ["HOME"] = str(home)
    # Runs of pytest with workers clean up after the user's earlier ones when they end.
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(home)
