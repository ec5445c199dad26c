"""Measuring on a machine that others use too: runs in turns, and medians."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median as median


def timed(action: Callable[[], object]) -> float:
    """How long `action` takes, in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def in_turns(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """What each measure yields in each round. The order is turned round every time: neither is always first."""
    found: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        numbered = list(enumerate(measures))
        for n, measure in numbered if number % 2 == 0 else reversed(numbered):
            found[n].append(measure())
    return found


def run(argv: Sequence[str], cwd: Path, variables: Mapping[str, str] | None = None) -> str:
    """The output of a program that must end with status 0; `variables` are added to the environment."""
    done = subprocess.run(
        argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, **(variables or {})},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode} in {cwd}:\n{done.stdout}")
    return done.stdout
