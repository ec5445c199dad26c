"""Ending what no reaper looks after: leftovers of a runner or a reaper that was killed, and all of macOS.

Best effort. A process that detached itself from its parent and from the session of the program, before
anybody looked, is not found here; on Linux the reaper finds every one while it lives.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psutil

from . import lineage

_PATIENCE = 5.0  # seconds until what was killed must be gone


def process_start_time(pid: int) -> float | None:
    """When the process started, to tell it from a later one with the same number; None if there is none.

    Only good for comparing, on this machine: on Linux clock ticks since boot, with a fraction that
    differs from boot to boot; elsewhere epoch seconds.
    """
    if lineage.LINUX:
        process = lineage.look_up(pid)
        return None if process is None else from_ticks(process.start)
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def from_ticks(ticks: int) -> float:
    """What `process_start_time` says of a process that started `ticks` after boot."""
    return ticks + _boot_fraction()


@cache
def _boot_fraction() -> float:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except FileNotFoundError:  # some sandboxes; a restart then goes unnoticed
        return 0.0
    return int(boot[:5], 16) / 2**20


def end_orphans(pid: int, start_time: float) -> bool:
    """Kill a program that an earlier run recorded, its session and its descendants.

    Only if the process `pid` still is the one that started then (`process_start_time`); else nothing is
    touched and the answer is False.
    """
    if process_start_time(pid) != start_time:
        return False
    end_all(lambda: program(pid, start_time))
    return True


def program(pid: int, start_time: float) -> set[psutil.Process]:
    """A program that was started in a session of its own: it, its descendants, its session."""
    return _tree(pid) | _session(pid) if process_start_time(pid) == start_time else set()


def descendants(root: int) -> set[psutil.Process]:
    """All that live below the process `root`."""
    return {process for process in _tree(root) if process.pid != root}


def end_all(find: Callable[[], set[psutil.Process]]) -> tuple[str, ...]:
    """Kill all that `find` returns, asking again until it finds no more; return their names."""
    names: dict[psutil.Process, str] = {}
    while fresh := [process for process in find() if process not in names]:
        for process in fresh:  # what is stopped forks no more
            names[process] = _name(process)
            _attempt(process.suspend)
    for process in names:
        _attempt(process.kill)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and (left := [process for process in names if _alive(process)]):
        psutil.wait_procs(left, timeout=0.1)  # which takes a zombie for alive
    return tuple(names.values())


class Watch:
    """Where orphans cannot be adopted: remembers a process's descendants, so that they can be ended later.

    Misses a daemon that was born and detached between two looks.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._seen: set[psutil.Process] = set()

    def look(self) -> None:
        """Remember who is there now; to be called a few times a second."""
        self._seen |= descendants(self._root)

    def end(self) -> tuple[str, ...]:
        """Kill all that were seen, and their descendants; return the names of those still alive."""
        self._seen = {process for process in self._seen if _alive(process)}
        return end_all(lambda: set().union(*(_tree(process.pid) for process in self._seen)))


class NoWatch(Watch):
    """Where the reaper finds everything by itself."""

    def look(self) -> None:
        return

    def end(self) -> tuple[str, ...]:
        return ()


def watch(root: int) -> Watch:
    """The watch that this platform needs over the reaper `root`."""
    return NoWatch(root) if lineage.LINUX else Watch(root)


def _tree(pid: int) -> set[psutil.Process]:
    try:
        root = psutil.Process(pid)
        found = {root, *root.children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()
    return {process for process in found if _alive(process)}


def _session(leader: int) -> set[psutil.Process]:
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and _alive(process):
                found.add(process)
        except (ProcessLookupError, PermissionError):
            continue
    return found


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return f"process {process.pid}"


def _attempt(action: Callable[[], None]) -> None:
    try:
        action()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return  # gone, or another user's
