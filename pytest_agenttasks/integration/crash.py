"""After the death of a worker: nothing that it had started is alive, and what it left is stored, before others go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil

from ..processes.orphans import process_start_time
from ..run import Run
from .crew import Member

PATIENCE = 20.0
"""Seconds for the worker's helper process to end all that ran below it; its own sweep takes 10 at most."""


def end_worker(run: Run, member: Member, say: Callable[[str], None]) -> None:
    """Wait for the end of a worker whose line is dead, and of its helper process; then mend what it has left."""
    if member.pid is not None:
        _end(member.pid, process_start_time(member.pid), 1.0)
    if member.helper is not None:
        _end(*member.helper, PATIENCE)


def _end(pid: int, start: float | None, patience: float) -> None:
    """Wait until that process is gone, and kill it when that takes too long."""
    deadline = time.monotonic() + patience
    while _alive(pid, start):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += patience
        time.sleep(0.02)


def _alive(pid: int, start: float | None) -> bool:
    if start is None or process_start_time(pid) != start:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
