"""Which process wrote something down, or holds something, and whether it still lives.

As text: `PID-START/SLOT`. START is what `process_start_time` says, so that a later process with the same number is not
taken for this one; SLOT is the number of the worker slot whose workspaces it uses.
"""

from __future__ import annotations

import os
import re
from functools import cache

import psutil

from .processes import lineage
from .processes.orphans import from_ticks, process_start_time

_TEXT = re.compile(r"(\d+)-(\d+(?:\.\d+)?(?:e[+-]?\d+)?)/(\d+)")


def this_process(slot: int) -> str:
    """The owner that this process is, with the workspaces of `slot`."""
    return f"{os.getpid()}-{_own_start(os.getpid())!r}/{slot}"


@cache
def _own_start(pid: int) -> float:
    return process_start_time(pid) or 0.0


def lives(owner: str) -> bool:
    """Whether that process is still there; a dead one that nobody has collected yet is not. False for "" (of a journal
    from before records had owners)."""
    found = _TEXT.fullmatch(owner)
    return found is not None and process_lives(int(found[1]), float(found[2]))


def slot_of(owner: str) -> int:
    """The worker slot; 0 for "" (there was no other then)."""
    found = _TEXT.fullmatch(owner)
    return int(found[3]) if found is not None else 0


def pid_of(owner: str) -> int:
    found = _TEXT.fullmatch(owner)
    return int(found[1]) if found is not None else 0


def process_lives(pid: int, started: float) -> bool:
    if lineage.LINUX:
        process = lineage.look_up(pid)
        return process is not None and not process.zombie and from_ticks(process.start) == started
    try:
        other = psutil.Process(pid)
        return bool(other.create_time() == started and other.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
