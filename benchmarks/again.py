"""Every commit of a run gated again, on its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .timing import run


def landed(path: Path) -> list[str]:
    """The commits of tasks in this repository, as git knows them."""
    return run(["git", "log", "--format=%H", "--grep=^Agent-Task: "], path).split()


def red(path: Path, gate: str, folder: Path) -> int:
    """How many of them the gate fails on, in a checkout of the commit and nothing else."""
    return sum(not _green(path, gate, commit, folder / commit) for commit in landed(path))


def _green(path: Path, gate: str, commit: str, folder: Path) -> bool:
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=path, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x"], cwd=folder, input=archive, check=True)
    return subprocess.run(["sh", "-c", gate], cwd=folder).returncode == 0
