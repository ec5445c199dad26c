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
