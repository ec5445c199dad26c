"""Which processes belong to what is played, how much memory they use, and ending them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def below(pid: int, depth: int = 2) -> list[psutil.Process]:
    """The Python processes at most so far below this one, and itself: of a run its workers and their helpers, never an
    agent, which is further down."""
    try:
        level = [psutil.Process(pid)]
    except GONE:
        return []
    found = list(level)
    for _ in range(depth):
        children: list[psutil.Process] = []
        for process in level:
            with suppress(*GONE):
                children += [child for child in process.children() if child.name().startswith("python")]
        found += children
        level = children
    return found


def marked(variable: str, value: Path) -> list[psutil.Process]:
    """The living processes that have inherited this variable."""
    found = []
    for process in psutil.process_iter():
        with suppress(*GONE, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(variable) == str(value):
                found.append(process)
    return found


class Sample(NamedTuple):
    """`at` seconds of the monotonic clock, `pid` of who has the terminal, `size` in bytes."""

    at: float
    pid: int
    size: int


class Memory:
    """Resident memory of a run, sampled once a second while it goes on. In bytes, all its processes together."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._pid: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def watch(self, pid: int | None) -> None:
        """Sample this process and what is below it from now on."""
        self._pid = pid

    def _sample(self) -> None:
        while not self._over.wait(1.0):
            pid = self._pid
            if pid is not None and (total := sum(self._resident(pid))):
                self.samples.append(Sample(time.monotonic(), pid, total))

    def _resident(self, pid: int) -> Iterator[int]:
        for process in below(pid):
            with suppress(*GONE):
                yield process.memory_info().rss

    @property
    def peak(self) -> int:
        return max((sample.size for sample in self.samples), default=0)

    @property
    def growth(self) -> tuple[int, float]:
        """Of the start that went on for longest: by how much more it was on average in the last fifth of its time than in the
        second (the first is for getting there), and that time in seconds. 0 where it was too short."""
        by_start = defaultdict(list)
        for sample in self.samples:
            by_start[sample.pid].append(sample)
        longest = max(by_start.values(), key=len, default=[])
        fifth = len(longest) // 5
        if fifth == 0:
            return 0, 0.0
        sizes = [sample.size for sample in longest]
        grown = sum(sizes[-fifth:]) / fifth - sum(sizes[fifth : 2 * fifth]) / fifth
        return round(grown), longest[-1].at - longest[0].at
